"""The executor ``ray``: a Ray cluster."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import current_thread, main_thread
from typing import Any

from harness.errors import UsageError, WorkerDied
from harness.run.executors import ExecutorSetup, register
from harness.run.job import Job, attempt


class _Ray:
    def __init__(self, ray: Any) -> None:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        # Whether a stage whose worker died runs again is the scheduler's to decide, as on every executor.
        self._attempt = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=0)(attempt)
        self._errors = ray.exceptions

    def submit(self, job: Job) -> Future[float]:
        result: Future[float] = Future()
        self._attempt.remote(job).future().add_done_callback(lambda ended: self._pass_on(ended, result))
        return result

    def poll(self) -> None:
        """Nothing to do: workers on a cluster report no steps."""

    def _pass_on(self, ended: Future[float], result: Future[float]) -> None:
        """The result of a task in terms of the project."""
        error = ended.exception()
        if error is None:
            result.set_result(ended.result())
        elif isinstance(error, self._errors.RayTaskError):
            result.set_exception(error.cause)
        elif isinstance(
            error, self._errors.WorkerCrashedError | self._errors.NodeDiedError | self._errors.OutOfMemoryError
        ):
            result.set_exception(WorkerDied(f"the worker process died ({type(error).__name__})"))
        else:
            result.set_exception(error)


@register("ray")
@contextmanager
def on_ray(setup: ExecutorSetup) -> Iterator[_Ray]:
    """Ray on the cluster at ``setup.address``, or started here; a stage takes one CPU, and a GPU where there is one."""
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs the extra: pip install 'prefrontier[ray]'") from None
    with _own_handler():
        ray.init(address=setup.address, include_dashboard=False, log_to_driver=False)
    try:
        yield _Ray(ray)
    finally:
        ray.shutdown()


@contextmanager
def _own_handler() -> Iterator[None]:
    """SIGTERM stays the run's to handle: `ray.init` replaces the handler by one that ends the process with code 15."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    except SystemExit:
        raise KeyboardInterrupt from None
    finally:
        if current_thread() is main_thread():
            signal.signal(signal.SIGTERM, before)
