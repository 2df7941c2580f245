"""The executor ``local``: a pool of processes on this machine.

Each worker computes with one thread: many small models on few cores are faster so, and results do not depend on the
number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from threading import Thread
from typing import Any

from harness.run.executors import ExecutorSetup, OnStep, register
from harness.run.job import Job, execute

SECONDS_BETWEEN_REPORTS = 0.5

Steps = SimpleQueue[tuple[str, Any]]


class _Pool:
    def __init__(self, pool: ProcessPoolExecutor, steps: Steps, on_step: OnStep | None) -> None:
        self._pool, self._steps, self._on_step = pool, steps, on_step

    def submit(self, job: Job) -> Future[float]:
        return self._pool.submit(_run, job)

    def poll(self) -> None:
        """Pass the steps that workers reported to the callback."""
        while not self._steps.empty():
            key, progress = self._steps.get()
            if self._on_step:
                self._on_step(key, progress)


@register("local")
@contextmanager
def local(setup: ExecutorSetup) -> Iterator[_Pool]:
    """A pool of spawned processes whose output goes to files under ``setup.logs``."""
    context = multiprocessing.get_context("spawn")
    setup.logs.mkdir(parents=True, exist_ok=True)
    steps: Steps = context.SimpleQueue()
    arguments = (setup.logs, steps)
    pool = ProcessPoolExecutor(setup.workers, mp_context=context, initializer=_start_worker, initargs=arguments)
    try:
        yield _Pool(pool, steps, setup.on_step)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_steps: Steps | None = None


def _start_worker(logs: Path, steps: Steps) -> None:
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
    """End this worker when the run is killed."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(job: Job) -> float:
    last = 0.0

    def report(progress: Any) -> None:
        nonlocal last
        if _steps is not None and time.monotonic() - last > SECONDS_BETWEEN_REPORTS:
            last = time.monotonic()
            _steps.put((job.key, progress))

    print(f"--- {job.kind}: {job.label} ({job.key})", flush=True)
    return execute(job, report)
