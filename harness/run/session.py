"""Session of a run: lock the folder, execute the plan, collect the records, write the report."""

from __future__ import annotations

import json
import math
import shutil
import sys
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.errors import Exit
from harness.plan.cells import Plan
from harness.plan.judging import require_key
from harness.records import SCHEMA_VERSION, Records
from harness.run.assemble import JOINED, LEFT_OUT, TEST_PROMPTS, collect
from harness.run.data_sources import data_sources
from harness.run.data_sources import described as described_source
from harness.run.downloads import require_downloads, require_memory
from harness.run.earlier import MANIFEST, has_finished, rerun_note, stage_names
from harness.run.executors import ExecutorSetup, find_executor
from harness.run.formats import described, finished_formats, used_weights
from harness.run.interruption import interruption
from harness.run.progress import LiveView, LogFile, PlainView
from harness.run.provenance import provenance
from harness.run.scheduler import FAILURES, Outcome, locked, run, save_failures
from harness.run.trackers import Tracker, track, tracked_run
from harness.spec.loading import RESOLVED, dump
from harness.store.store import Store
from harness.store.usage import STAGES
from harness.terminal import say
from reports.labels import FILE as LABELS
from reports.publication import WORLDS, publishing, settle
from suites.judges.redaction import redact
from trainers.files import replacing, sweep

RESULTS = (RESOLVED, FAILURES, MANIFEST, "records", WORLDS, "report")
"""What a run replaces in its folder, all together, when it ends."""

Measured = Mapping[Path, tuple[Plan, Records]]
"""By folder in that of the run: a plan and its records, one for each world where there are several."""


def run_experiment(
    plan: Plan,
    store: Store,
    out: Path,
    workers: int,
    executor: str,
    address: str | None,
    trackers: Sequence[Tracker] = (),
) -> Exit:
    """Run `plan` into `out` and return the exit code.

    Results of an earlier run in `out` stay until this one ends. An interrupted run writes what it has measured, but never
    in the place of a finished run's results. Trackers log what a run that was not interrupted has measured.
    """
    console, open_executor = Console(highlight=False, soft_wrap=True), find_executor(executor)
    require_downloads(plan, store)
    require_key(plan.experiment)
    if executor == "local":
        require_memory(plan, store)
    with locked(out), interruption() as asked:
        finished = _prepare(plan, store, out, console)
        held = {key for key in plan.stages if store.has(key)}
        view = (LiveView if sys.stdout.isatty() else PlainView)(list(plan.stages.values()), Console(), held)
        setup = ExecutorSetup(workers, out / "logs", view.step, address)
        with view, open_executor(setup) as submitter:
            outcome = run(plan, store, submitter, [view, LogFile(out / "log.jsonl")], workers, asked)
        measured = _collect(plan, store, outcome)
        for source in data_sources(plan, store):
            say(console, str(source))
        _tell(measured, outcome, _processor_seconds(outcome, store), out, console)
        if outcome.interrupted and finished:
            say(console, f"the results of the finished run in {out} stay")
            return Exit.INTERRUPTED
        code = _publish(plan, store, outcome, measured, out, console)
        if asked.requested:
            return Exit.INTERRUPTED
        _track(plan.experiment.name, measured, trackers, out, console)
        return code


def _prepare(plan: Plan, store: Store, out: Path, console: Console) -> bool:
    """Put the folders in order and note what is about to run; returns whether `out` has results of a finished run."""
    settle(out)
    sweep(out)
    store.root.mkdir(parents=True, exist_ok=True)
    store.sweep()
    if note := rerun_note(plan, store, out):
        say(console, note)
    finished = has_finished(out)
    if not finished:
        _write(out / RESOLVED, redact(dump(plan.experiment)))
    _write(out / STAGES, json.dumps(stage_names(plan), indent=1))
    return finished


def _collect(plan: Plan, store: Store, outcome: Outcome) -> Measured:
    folders = {Path(WORLDS) / str(seed): part for seed, part in plan.worlds.items()} or {Path(): plan}
    return {folder: (part, collect(part, store, outcome)) for folder, part in folders.items()}


def _tell(measured: Measured, outcome: Outcome, worked: float, out: Path, console: Console) -> None:
    """Print what was measured, and what was not for which reason."""
    for why, count in _rows_left_out(measured).items():
        say(console, f"rows left out of the data: {count} × {why}")
    for _, records in measured.values():
        for line in joined_lines(records):
            say(console, line)
    prompts = _test_prompts(measured)
    if prompts.get("distinct", 0) < prompts.get("answered", 0):
        told = (
            f"test prompts: {prompts['answered']}, of which {prompts['distinct']} are distinct; equal ones count as one"
        )
        say(console, told)
    planned = sum(len(records.cells) for _, records in measured.values())
    say(console, f"measured {_count(measured)} of {planned} cells in {outcome.seconds:.0f} s")
    say(console, f"processor time of the stages: {worked:.0f} s, that of the ones from the store included")
    if outcome.reused:
        say(console, f"{len(outcome.reused)} of {len(outcome.done)} stages came from the store")
    for failure in outcome.failures.values():
        say(console, f"failed: {failure.kind} · {failure.label}: {failure.error}")
    if outcome.failures:
        say(console, f"details are in {out / 'logs'}")


def _processor_seconds(outcome: Outcome, store: Store) -> float:
    """Processor time of the done stages, when they were run; of those of older versions nothing is known."""
    return math.fsum(store.manifest(key).get("processor_seconds", 0.0) for key in outcome.done)


def _count(measured: Measured) -> int:
    """Number of measured cells."""
    return int(sum((records.cells.status == "ok").sum() for _, records in measured.values()))


def joined_lines(records: Records) -> list[str]:
    """One line for each entry from a file: for how many of the evaluation prompts it has a row."""
    counts = records.measures[records.measures.group == JOINED]
    labels = records.cells.set_index("cell")
    lines = []
    for cell, rows in counts.groupby("cell", sort=False):
        number = rows.set_index("name").value.astype(int)
        has, of = number["prompts with a row"], number["evaluation prompts"]
        seed = f", seed {labels.seed[cell]}" if (labels.point == labels.point[cell]).sum() > 1 else ""
        lines.append(f"{labels.label[cell]}{seed}: {has} of {of} prompts, {number['rows of the file']} rows")
    return lines


def _publish(plan: Plan, store: Store, outcome: Outcome, measured: Measured, out: Path, console: Console) -> Exit:
    """Replace the results in `out`, with a report where anything was measured."""
    from reports.build import build

    code = Exit.FAILED if outcome.failures else Exit.OK
    with publishing(out, RESULTS) as work:
        (work / RESOLVED).write_text(redact(dump(plan.experiment)), encoding="utf-8")
        if plan.worlds:
            _write_manifest(plan, store, outcome, measured, work)
        save_failures(outcome, work)
        for folder, (part, records) in measured.items():
            records.write(work / folder / "records")
            _write_manifest(part, store, outcome, {folder: (part, records)}, work / folder)
        if (out / LABELS).is_file():  # of people, and so no result of the run
            shutil.copy2(out / LABELS, work / LABELS)
        if _count(measured):
            try:
                build(work)
            except Exception:  # the records are worth keeping without it
                traceback.print_exc()
                code = Exit.FAILED
    if not _count(measured):
        return Exit.NOTHING
    if (out / "report").is_dir():
        say(console, f"report: {out / 'report' / 'index.html'}")
    return code


def _track(name: str, measured: Measured, trackers: Sequence[Tracker], out: Path, console: Console) -> None:
    """Log what was measured. A tracker that fails is told and counted, and ends nothing."""
    for folder, (_, records) in measured.items() if trackers else ():
        failures = track(trackers, tracked_run(str(Path(name) / folder), records, out / folder))
        for tracker, error in failures.items():
            say(console, f"tracker {tracker} failed ({len(failures)} of {len(trackers)}): {error}")


def _test_prompts(measured: Measured) -> dict[str, int]:
    """Numbers of test prompts, of all worlds: those answered and the distinct ones among them."""
    return _counts(measured, TEST_PROMPTS)


def _rows_left_out(measured: Measured) -> dict[str, int]:
    return _counts(measured, LEFT_OUT)


def _counts(measured: Measured, group: str) -> dict[str, int]:
    """The measures of a group that count, by name."""
    counts: Counter[str] = Counter()
    for _, records in measured.values():
        counted = records.measures[records.measures.group == group]
        counts.update({str(name): int(count) for name, count in counted.groupby("name").value.sum().items()})
    return dict(counts)


def _write(path: Path, text: str) -> None:
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_manifest(plan: Plan, store: Store, outcome: Outcome, measured: Measured, folder: Path) -> None:
    manifest = json.dumps(_manifest(plan, store, outcome, measured), indent=1)
    (folder / MANIFEST).write_text(redact(manifest), encoding="utf-8")


def _manifest(plan: Plan, store: Store, outcome: Outcome, measured: Measured) -> dict[str, Any]:
    experiment = plan.experiment
    return {
        "experiment": {"name": experiment.name, "title": experiment.title, "description": experiment.description},
        "caveat": " ".join(filter(None, (experiment.caveat, *plan.notes))),
        "published": experiment.published.model_dump() if experiment.published else None,
        "seeds": experiment.seeds,
        "rewards": experiment.rewards,
        "toxicity": experiment.toxicity.model_dump(exclude_none=True),
        "judge": experiment.judge.identity if experiment.judge else None,
        "budgets": plan.budgets,
        "expected_cells": len(plan.cells),
        "seconds": outcome.seconds,
        "processor_seconds": _processor_seconds(outcome, store),
        "interrupted": outcome.interrupted,
        "failures": [vars(failure) for failure in outcome.failures.values()],
        "rows_left_out": _rows_left_out(measured),
        "test_prompts": _test_prompts(measured),
        "data_sources": [described_source(source) for source in data_sources(plan, store)],
        "weights": used_weights(plan, store),
        "prompt_formats": {size: described(made) for size, made in finished_formats(plan, store).items()},
        "schema": SCHEMA_VERSION,
        "cells": {cell.cell: [stage.key for stage in cell.stages] for cell in plan.cells},
        **provenance(),
    }
