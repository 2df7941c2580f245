"""The executor ``ray``: a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from harness.errors import UsageError
from harness.run.executors import ExecutorSetup, register
from harness.run.job import Job, execute


class _Ray:
    def __init__(self, ray: Any) -> None:
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._execute = ray.remote(num_cpus=1, num_gpus=gpus)(execute)

    def submit(self, job: Job) -> Future[float]:
        future: Future[float] = self._execute.remote(job).future()
        return future

    def poll(self) -> None:
        """Nothing to do: workers on a cluster report no steps."""


@register("ray")
@contextmanager
def on_ray(setup: ExecutorSetup) -> Iterator[_Ray]:
    """Ray on the cluster at ``setup.address``, or started here; a stage takes one CPU, and a GPU where there is one."""
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs the extra: pip install 'prefrontier[ray]'") from None
    ray.init(address=setup.address, include_dashboard=False, log_to_driver=False)
    try:
        yield _Ray(ray)
    finally:
        ray.shutdown()
