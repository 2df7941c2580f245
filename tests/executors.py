"""Executor for tests: stages run in the process of the test, which starts no worker."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from types import SimpleNamespace

from harness.run.executors import ExecutorSetup
from harness.run.job import Job, execute


@contextmanager
def in_process(setup: ExecutorSetup) -> Iterator[SimpleNamespace]:
    """Each stage runs when it is submitted."""

    def submit(job: Job) -> Future[float]:
        future: Future[float] = Future()
        try:
            future.set_result(execute(job))
        except Exception as error:  # the scheduler records it
            future.set_exception(error)
        return future

    yield SimpleNamespace(submit=submit, poll=lambda: None)
