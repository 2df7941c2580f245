"""Running a plan: each stage once, failures recorded and contained, a dead worker survived, resume by key."""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.run.executors import ExecutorSetup
from harness.run.executors.local import local
from harness.run.job import execute
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


def test_a_dead_worker_fails_its_stage_and_is_named(plan, tmp_path):
    """The pool's processes are killed while the first stage runs."""
    store = Store(tmp_path / "store")

    class Killer(Recorder):
        def started(self, stage):
            for pid in list(pool._pool._processes):
                os.kill(pid, signal.SIGKILL)

    with local(ExecutorSetup(1, tmp_path / "logs")) as pool:
        outcome = run(plan, store, pool, [Killer()], workers=1)
    assert {failure.error for failure in outcome.failures.values()} == {
        "the worker process died (killed, or out of memory)"
    }
    assert not outcome.done


def test_execute_trusts_a_whole_artifact_and_remakes_a_damaged_one(plan, tmp_path):
    from harness.run.job import Job

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
    import time

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
    deadline = time.monotonic() + 60
    while not list(logs.glob("worker-*.log")) and time.monotonic() < deadline:
        time.sleep(0.1)
    workers = [int(path.stem.removeprefix("worker-")) for path in logs.glob("worker-*.log")]
    process.kill()
    process.wait()
    assert workers
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in workers):
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
