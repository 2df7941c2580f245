"""Execution of a plan: each stage once, failures recorded and contained, loss of a worker, resuming by key."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.errors import StageFailed, UsageError
from harness.plan.cells import make_plan
from harness.run.executors import ExecutorSetup
from harness.run.executors.local import local
from harness.run.interruption import Interruption, interruption
from harness.run.job import Job, execute
from harness.run.scheduler import blame, locked, run
from harness.spec.loading import load
from harness.store.store import Store
from tests.paths import TOY


class Inline:
    """Runs jobs here and now, failing those whose label says so."""

    def __init__(self, broken: str = ""):
        self.broken, self.jobs = broken, []

    def submit(self, job) -> Future:
        future: Future = Future()
        self.jobs.append(job.key)
        if self.broken and self.broken in job.label:
            future.set_exception(RuntimeError(f"broken on purpose\nsecond line of {job.label}"))
        else:
            future.set_result(1.0)
        return future

    def poll(self) -> None:
        pass


class Recorder:
    def __init__(self):
        self.events = []

    def started(self, stage):
        self.events.append(("started", stage.key))

    def finished(self, stage, seconds):
        self.events.append(("finished", stage.key))

    def failed(self, stage, error):
        self.events.append(("failed", stage.key))

    def restarted(self, stage, error):
        self.events.append(("restarted", stage.key))


@pytest.fixture(scope="module")
def plan():
    return make_plan(load(TOY))


def test_every_stage_runs_once_and_after_its_inputs(plan, tmp_path):
    executor = Inline()
    outcome = run(plan, Store(tmp_path), executor, [], workers=2)
    assert sorted(executor.jobs) == sorted(plan.stages)
    position = {key: i for i, key in enumerate(executor.jobs)}
    for key, stage in plan.stages.items():
        assert all(position[required.key] < position[key] for required in stage.requires)
    assert set(outcome.done) == set(plan.stages)


def test_shared_stages_are_shared(plan):
    kinds = [stage.kind for stage in plan.stages.values()]
    for kind in ("world", "tokenizer", "base", "reference", "rewards", "train_toxicity", "enumeration"):
        assert kinds.count(kind) == 1, kind
    assert kinds.count("align") == len(plan.cells) - 1


def test_a_failed_stage_stops_what_needs_it_and_nothing_else(plan, tmp_path):
    executor, recorder = Inline(broken="dpo beta=0.5"), Recorder()
    outcome = run(plan, Store(tmp_path), executor, [recorder], workers=1)
    failed = [cell for cell in plan.cells if cell.label == "dpo beta=0.5"]
    assert [failure.kind for failure in outcome.failures.values()] == ["align"]
    for cell in plan.cells:
        culprit = blame(cell.generate, outcome.failures)
        assert (culprit is not None) == (cell in failed)
        assert all(stage.key in outcome.done for stage in cell.stages) == (cell not in failed)
    assert next(iter(outcome.failures.values())).error == "RuntimeError: broken on purpose"
    assert ("failed", failed[0].policy.key) in recorder.events


def test_the_key_changes_with_what_determines_the_artifact_and_only_with_it(plan):
    def key(cell_label, *overrides):
        return {c.label: c.policy.key for c in make_plan(load(TOY, overrides)).cells}[cell_label]

    assert key("sft") == key("sft", "methods.dpo.sweep={beta: [0.3]}", "title=other", "decoding.samples=3")
    assert key("sft") != key("sft", "training.learning_rate=1.0e-3")
    assert key("sft") != key("sft", "data.world.seed=5")
    assert key("sft") == key("sft", "rewards={toxicity: 0.2, readability: 0.8}")
    assert key("upo gamma=0.3") != key("upo gamma=0.3", "rewards={toxicity: 0.2, readability: 0.8}")


def test_another_run_in_the_folder_is_refused(tmp_path):
    with locked(tmp_path), pytest.raises(UsageError, match="another prefrontier run"), locked(tmp_path):
        pass


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pass


class Killer(Recorder):
    """Kills the worker of a stage whenever it starts, up to a number of times."""

    def __init__(self, pool, victim: str, times: int):
        super().__init__()
        self.pool, self.victim, self.times = pool, victim, times

    def started(self, stage):
        super().started(stage)
        if stage.key == self.victim and self.times:
            self.times -= 1
            while not (busy := self.pool._workers.difference(self.pool._idle)):
                time.sleep(0.01)
            os.kill(next(iter(busy)).pid, signal.SIGKILL)


def _with_killer(plan, tmp_path, times: int):
    few = {key: stage for key, stage in plan.stages.items() if stage.kind in ("world", "tokenizer")}
    one = SimpleNamespace(stages=few)
    victim = next(stage.key for stage in few.values() if stage.kind == "tokenizer")
    with local(ExecutorSetup(1, tmp_path / "logs")) as pool:
        killer = Killer(pool, victim, times)
        return victim, killer, run(one, Store(tmp_path / "store"), pool, [killer], workers=1)


def test_a_stage_whose_worker_dies_is_started_again(plan, tmp_path):
    victim, killer, outcome = _with_killer(plan, tmp_path, times=1)
    assert not outcome.failures and victim in outcome.done
    assert [key for event, key in killer.events if event == "restarted"] == [victim]


def test_a_stage_whose_workers_keep_dying_fails_alone_and_is_named(plan, tmp_path):
    victim, _, outcome = _with_killer(plan, tmp_path, times=2)
    assert {key: failure.error for key, failure in outcome.failures.items()} == {
        victim: "the worker process died (killed by SIGKILL, or out of memory)"
    }
    assert "world" in {plan.stages[key].kind for key in outcome.done}


def test_an_error_that_does_not_unpickle_is_told_in_full(plan, tmp_path):
    """A diverging stage, and an exception class that another process cannot rebuild."""
    broken = Job("demo", "demo", "k", "tests.harness.run.unpicklable", {}, {}, tmp_path / "store")
    with local(ExecutorSetup(1, tmp_path / "logs")) as pool:
        with pytest.raises(StageFailed, match="^NeedsTwo: first and second$"):
            pool.submit(broken).result(60)
        log = next((tmp_path / "logs").glob("*.log")).read_text()
    assert "Traceback" in log and "NeedsTwo: first and second" in log


def test_an_interrupted_run_ends_its_workers_at_once(plan, tmp_path):
    asked = Interruption()

    class Asks(Recorder):
        def started(self, stage):
            super().started(stage)
            asked.request()

    began = time.monotonic()
    with local(ExecutorSetup(1, tmp_path / "logs")) as pool:
        outcome = run(plan, Store(tmp_path / "store"), pool, [Asks()], 1, asked)
    assert outcome.interrupted and not outcome.failures and not outcome.done
    assert time.monotonic() - began < 10
    assert not any(worker.is_alive for worker in pool._workers)


def test_a_request_to_end_is_noted_and_the_second_one_is_obeyed_at_once():
    before = signal.getsignal(signal.SIGTERM)
    with interruption() as asked:
        os.kill(os.getpid(), signal.SIGTERM)
        assert asked.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
    assert signal.getsignal(signal.SIGTERM) is before


def test_execute_trusts_a_whole_artifact_and_remakes_a_damaged_one(plan, tmp_path):
    store = Store(tmp_path)
    world = next(stage for stage in plan.stages.values() if stage.kind == "world")
    job = Job.of(world, store)
    execute(job)
    first = store.manifest(world.key)["files"]
    pairs = store.path(world.key) / "pairs.jsonl"
    untouched = pairs.stat().st_mtime_ns
    execute(job)
    assert pairs.stat().st_mtime_ns == untouched
    pairs.write_text("garbage")
    execute(job)
    assert store.manifest(world.key)["files"] == first


def test_workers_end_with_the_run(tmp_path):
    """SIGKILL of the main process alone: its workers must not go on for nobody."""
    import subprocess
    import sys

    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "harness",
            "run",
            TOY,
            "--out",
            tmp_path / "run",
            "--store",
            tmp_path / "store",
            "--workers",
            "1",
        ],
        stdout=subprocess.DEVNULL,
    )
    logs = tmp_path / "run" / "logs"
    deadline = time.monotonic() + 300  # a run starts late on a busy machine
    while not list(logs.glob("worker-*.log")) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(path.stem.removeprefix("worker-")) for path in logs.glob("worker-*.log")]
    process.kill()
    process.wait()
    assert workers
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
