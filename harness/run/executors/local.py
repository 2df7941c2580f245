"""The executor ``local``: processes on this machine.

Each worker computes with one thread: many small models on few cores are faster so, and results do not depend on the
number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Lock
from typing import Any

from harness.errors import WorkerDied
from harness.run.executors import ExecutorSetup, register
from harness.run.job import Job
from harness.run.worker import Worker


class _Pool:
    """Threads that each wait for one worker; a worker that died is replaced when the next job comes."""

    def __init__(self, setup: ExecutorSetup) -> None:
        self._setup = setup
        self._threads = ThreadPoolExecutor(setup.workers)
        self._steps: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._lock = Lock()
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._ended = False

    def submit(self, job: Job) -> Future[float]:
        return self._threads.submit(self._execute, job)

    def poll(self) -> None:
        """Pass the steps that workers reported to the callback."""
        while not self._steps.empty():
            key, progress = self._steps.get()
            if self._setup.on_step:
                self._setup.on_step(key, progress)

    def end(self) -> None:
        """End all workers: those that have a job at once, the others when they are ready."""
        with self._lock:
            self._ended = True
            for worker in self._workers.difference(self._idle):
                worker.kill()
            for worker in self._idle:
                worker.dismiss()
        for worker in self._workers:
            worker.end()
        self._threads.shutdown(cancel_futures=True)

    def _execute(self, job: Job) -> float:
        worker = self._take()
        try:
            return worker.execute(job, lambda progress: self._steps.put((job.key, progress)))
        finally:
            with self._lock:
                self._idle.append(worker)

    def _take(self) -> Worker:
        """An idle worker that lives, or a new one."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive:
                    return worker
                self._workers.remove(worker)
            if self._ended:
                raise WorkerDied("the run ended")
            worker = Worker(self._setup.logs)
            self._workers.add(worker)
            return worker


@register("local")
@contextmanager
def local(setup: ExecutorSetup) -> Iterator[_Pool]:
    """Worker processes whose output goes to files under ``setup.logs``."""
    setup.logs.mkdir(parents=True, exist_ok=True)
    pool = _Pool(setup)
    try:
        yield pool
    finally:
        pool.end()
