"""Where stages run: a process pool on this machine, or a Ray cluster.

Both give `submit(job) -> Future`. Each worker computes with one thread: many small models on few cores are
faster so, and results do not depend on how many workers there are.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Protocol

from harness.errors import UsageError
from harness.run.job import Job, execute

SECONDS_BETWEEN_REPORTS = 0.5


class Executor(Protocol):
    def submit(self, job: Job) -> Future: ...


@contextmanager
def local(workers: int, logs: Path, on_step: Callable | None = None):
    """A pool of spawned processes whose output goes to files under `logs`."""
    context = multiprocessing.get_context("spawn")
    logs.mkdir(parents=True, exist_ok=True)
    steps = context.SimpleQueue()
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(logs, steps))
    try:
        yield _Pool(pool, steps, on_step)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class _Pool:
    def __init__(self, pool, steps, on_step):
        self._pool, self._steps, self._on_step = pool, steps, on_step

    def submit(self, job: Job) -> Future:
        return self._pool.submit(_run, job)

    def poll(self) -> None:
        """Hand the steps that workers reported to the callback."""
        while not self._steps.empty():
            key, progress = self._steps.get()
            if self._on_step:
                self._on_step(key, progress)


@contextmanager
def on_ray(address: str | None):
    """Ray, on a cluster at `address` or started here; a stage takes one CPU, and a GPU where there is one."""
    try:
        import ray
    except ImportError:
        raise UsageError("--executor ray needs the extra: pip install 'prefrontier[ray]'") from None
    ray.init(address=address, include_dashboard=False, log_to_driver=False)
    try:
        yield _Ray(ray)
    finally:
        ray.shutdown()


class _Ray:
    def __init__(self, ray):
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self._execute = ray.remote(num_cpus=1, num_gpus=gpus)(execute)

    def submit(self, job: Job) -> Future:
        return self._execute.remote(job).future()

    def poll(self) -> None:
        pass


_steps = None


def _start_worker(logs: Path, steps) -> None:
    global _steps
    _steps = steps
    os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    log = os.open(logs / f"worker-{os.getpid()}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    Thread(target=_end_with_parent, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _end_with_parent() -> None:
    """A worker must not compute on for nobody when the run is killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _run(job: Job) -> float:
    last = 0.0

    def report(progress) -> None:
        nonlocal last
        if time.monotonic() - last > SECONDS_BETWEEN_REPORTS:
            last = time.monotonic()
            _steps.put((job.key, progress))

    print(f"--- {job.kind}: {job.label} ({job.key})", flush=True)
    return execute(job, report)
