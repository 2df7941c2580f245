"""Scheduler of a plan: stages start when their inputs are ready, failures are recorded, the rest goes on."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

from filelock import FileLock, Timeout

from harness.errors import UsageError, WorkerDied, described
from harness.plan.cells import Plan
from harness.plan.estimate import seconds as estimate
from harness.plan.stage import Stage
from harness.run.executors import Executor
from harness.run.interruption import Interruption
from harness.run.job import Job
from harness.store.store import Store
from suites.judges.redaction import redact


@dataclass(frozen=True)
class Failure:
    """A stage that ended with an error."""

    key: str
    kind: str
    label: str
    error: str


@dataclass
class Outcome:
    """Results of a plan's stages, by key: the seconds of those that are done, and the failures."""

    done: dict[str, float] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)
    reused: set[str] = field(default_factory=set)
    """Keys of the stages among those done that an earlier run had left in the store."""
    seconds: float = 0.0
    interrupted: bool = False


FAILURES = "failures.json"

ATTEMPTS = 2
"""Starts of a stage whose worker dies before it is recorded as failed."""


class Watcher(Protocol):
    """Receives the events of a run, to show or to log them."""

    def started(self, stage: Stage) -> None: ...
    def finished(self, stage: Stage, seconds: float | None) -> None:
        """A stage is done; without seconds where the store had it."""
        ...

    def failed(self, stage: Stage, error: str) -> None: ...
    def restarted(self, stage: Stage, error: str) -> None: ...


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """One run per output folder at a time.

    Raises
    ------
    UsageError
        When the folder cannot be written, or another process runs in it.
    """
    lock = FileLock(out / ".lock", timeout=0)
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise UsageError(
            f"{out}: another prefrontier run is using this folder; wait for it or choose another --out"
        ) from None
    except OSError as error:
        raise UsageError(f"{out}: cannot be written ({error.strerror})") from None
    try:
        yield
    finally:
        lock.release()


def run(
    plan: Plan,
    store: Store,
    executor: Executor,
    watchers: Sequence[Watcher],
    workers: int,
    interruption: Interruption | None = None,
) -> Outcome:
    """Execute every stage of `plan` whose inputs can be made.

    A failed stage is recorded; the stages that need it never start, all others go on. A stage whose worker dies is
    started again, from what it saved, and recorded as failed when that worker dies too. An interruption ends the run
    without waiting for the stages that are running.
    """
    outcome, started = Outcome(), time.monotonic()
    starts: Counter[str] = Counter()
    stamps: dict[str, int | None] = {}
    interruption = interruption or Interruption()
    sorter = TopologicalSorter({key: [r.key for r in stage.requires] for key, stage in plan.stages.items()})
    sorter.prepare()
    waiting: list[Stage] = []
    running: dict[Future[float], Stage] = {}
    while True:
        waiting += [plan.stages[key] for key in sorter.get_ready()]
        waiting.sort(key=estimate)
        if interruption.requested and (waiting or running):
            outcome.interrupted = True
            break
        while waiting and len(running) < workers:
            stage = waiting.pop()
            starts[stage.key] += 1
            stamps[stage.key] = store.stamp(stage.key)
            running[executor.submit(Job.of(stage, store))] = stage
            for watcher in watchers:
                watcher.started(stage)
        if not running:
            break
        finished, _ = wait(running, timeout=0.2, return_when=FIRST_COMPLETED)
        executor.poll()
        for future in finished:
            stage = running.pop(future)
            error = future.exception()
            if error is None:
                outcome.done[stage.key] = future.result()
                sorter.done(stage.key)
                reused = stamps[stage.key] is not None and stamps[stage.key] == store.stamp(stage.key)
                if reused:
                    outcome.reused.add(stage.key)
                for watcher in watchers:
                    watcher.finished(stage, None if reused else future.result())
                continue
            message = redact(described(error))
            # After a signal to all processes of the run, dead workers are no failure of their stages.
            if isinstance(error, WorkerDied) and (starts[stage.key] < ATTEMPTS or interruption.requested):
                waiting.append(stage)
                for watcher in watchers:
                    watcher.restarted(stage, message)
                continue
            outcome.failures[stage.key] = Failure(stage.key, stage.kind, stage.label, message)
            for watcher in watchers:
                watcher.failed(stage, message)
        outcome.seconds = time.monotonic() - started
    return outcome


def blame(stage: Stage, failures: dict[str, Failure]) -> Failure | None:
    """The failure that keeps `stage` from being made: its own or that of something it needs."""
    if stage.key in failures:
        return failures[stage.key]
    return next((failure for required in stage.requires if (failure := blame(required, failures))), None)


def save_failures(outcome: Outcome, out: Path) -> None:
    """Write the failures for the verb ``status``."""
    rows = [asdict(failure) for failure in outcome.failures.values()]
    (out / FAILURES).write_text(json.dumps(rows, indent=1), encoding="utf-8")


def load_failures(out: Path) -> dict[str, Failure]:
    path = out / FAILURES
    rows = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {row["key"]: Failure(**row) for row in rows}
