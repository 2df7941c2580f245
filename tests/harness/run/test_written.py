"""Output of a run: no key, no control character, and stages of the store told apart from new ones."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
from concurrent.futures import Future
from threading import Thread

import pytest
from rich.console import Console

from harness.plan.cells import make_plan
from harness.run.job import Job, attempt
from harness.run.progress import LiveView, LogFile, PlainView
from harness.run.scheduler import load_failures, run, save_failures
from harness.run.session import _collect, _publish
from harness.run.worker import _keep
from harness.spec.loading import load
from harness.store.store import Store
from harness.terminal import say
from tests.paths import TOY

KEY = "planted-in-the-environment-0123456789"
FORM = "sk-abcdefghijklmnopqrstuv"


class Leaky:
    """An executor whose every stage fails with a message that holds keys, markup and control characters."""

    def submit(self, job) -> Future:
        future: Future = Future()
        future.set_exception(OSError(f"401 for {KEY} at https://me:{KEY}@host, Bearer {FORM} [red]\x1b[2Jx[/red]"))
        return future

    def poll(self) -> None:
        pass


class Storing:
    """Runs jobs by writing an empty artifact where there is none."""

    def __init__(self, store: Store):
        self.store = store

    def submit(self, job) -> Future:
        future: Future = Future()
        if self.store.get(job.key) is None:
            with self.store.writing(job.key, {"kind": job.kind, "inputs": {}}):
                pass
        future.set_result(self.store.manifest(job.key)["seconds"])
        return future

    def poll(self) -> None:
        pass


@pytest.fixture
def planted(monkeypatch):
    monkeypatch.setenv("MY_JUDGE_API_KEY", KEY)
    return make_plan(
        load(TOY, [f"description=for {KEY}", f"caveat=by {FORM}", f"title='[b]{KEY}[/b]'"]), f"toy --set x={KEY}"
    )


def test_nothing_that_a_run_writes_or_shows_holds_a_key(planted, tmp_path):
    shown = io.StringIO()
    console = Console(file=shown, width=2000)
    out, store = tmp_path / "out", Store(tmp_path / "store")
    out.mkdir()
    outcome = run(
        planted, store, Leaky(), [PlainView(list(planted.stages.values()), console), LogFile(out / "log.jsonl")], 1
    )
    save_failures(outcome, out)
    _publish(planted, store, outcome, _collect(planted, store, outcome), out, console)
    written = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert {"log.jsonl", "failures.json", "manifest.json", "experiment.resolved.yaml", "cells.parquet"} <= {
        p.name for p in written
    }
    for path, content in written.items():
        assert KEY.encode() not in content and FORM.encode() not in content, path
    assert KEY not in shown.getvalue() and FORM not in shown.getvalue()
    assert "\x1b" not in shown.getvalue() and "[red]\\x1b[2Jx[/red]" in shown.getvalue()
    assert all("[redacted]" in failure.error for failure in load_failures(out).values())


def test_the_log_of_a_worker_holds_no_key(planted, tmp_path, monkeypatch, capsys):
    stage = next(iter(planted.stages.values()))

    def leak(job, progress):
        raise OSError(f"401 for {KEY}")

    monkeypatch.setattr("harness.run.job.execute", leak)
    with pytest.raises(Exception, match="401"):
        attempt(Job.of(stage, Store(tmp_path)))
    said = "".join(capsys.readouterr())
    assert "Traceback" in said and KEY not in said


def test_what_libraries_print_in_a_worker_holds_no_key(planted, tmp_path):
    log = tmp_path / "worker-1.log"
    written, output = multiprocessing.Pipe(duplex=False)
    reader = Thread(target=_keep, args=(written, log))
    reader.start()
    os.write(output.fileno(), f"GET https://me:{KEY}@host 401\nBearer {FORM}\n".encode())
    os.write(output.fileno(), b"\xff no text\nended by SIGKILL")
    output.close()
    reader.join(20)
    lines = log.read_text().splitlines()
    assert lines == ["GET https://[redacted]@host 401", "Bearer [redacted]", "\\xff no text", "ended by SIGKILL"]


def test_stages_of_the_store_are_told_apart_and_cost_no_time(tmp_path):
    plan, store = make_plan(load(TOY)), Store(tmp_path / "store")
    first = run(plan, store, Storing(store), [], workers=1)
    assert not first.reused
    shown, log = io.StringIO(), tmp_path / "log.jsonl"
    held = {key for key in plan.stages if store.has(key)}
    view = PlainView(list(plan.stages.values()), Console(file=shown, width=500), held)
    again = run(plan, store, Storing(store), [view, LogFile(log)], workers=1)
    assert again.reused == set(plan.stages) == set(again.done)
    lines = shown.getvalue().splitlines()
    assert len(lines) == len(plan.stages) and all(line.endswith("· in the store") for line in lines)
    assert view.remaining.total == 0 and str(view.remaining) == ""
    assert {json.loads(line)["event"] for line in log.read_text().splitlines()} == {"started", "reused"}


def test_markup_in_a_label_is_text_in_the_live_view():
    stages = list(make_plan(load(TOY)).stages.values())
    shown = io.StringIO()
    with LiveView(stages, Console(file=shown, force_terminal=True, width=200)) as view:
        view.started(stages[0])
        view.failed(stages[0], "[/red] \x1b[2J [link=x]")
    assert "[/red] \\x1b[2J [link=x]" in shown.getvalue()


def test_a_line_is_one_line():
    shown = io.StringIO()
    say(Console(file=shown, width=10), "a long [bold]line[/bold]\nof\ttwo \u202e lines")
    assert shown.getvalue() == "a long [bold]line[/bold] of two \\u202e lines\n"
