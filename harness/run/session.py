"""Session of a run: lock the folder, execute the plan, collect the records, write the report."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from harness.errors import Exit
from harness.plan.cells import Plan
from harness.plan.judging import require_key
from harness.records import SCHEMA_VERSION
from harness.run.assemble import LEFT_OUT, collect
from harness.run.downloads import require_downloads
from harness.run.earlier import EXPERIMENT, MANIFEST, rerun_note, stage_names
from harness.run.executors import ExecutorSetup, find_executor
from harness.run.progress import LiveView, LogFile, PlainView
from harness.run.provenance import provenance
from harness.run.scheduler import Outcome, locked, run, save_failures
from harness.spec.loading import dump
from harness.store.store import Store
from harness.store.usage import STAGES


def run_experiment(plan: Plan, store: Store, out: Path, workers: int, executor: str, address: str | None) -> Exit:
    """Run `plan` into `out` and return the exit code."""
    console, open_executor = Console(), find_executor(executor)
    require_downloads(plan, store)
    require_key(plan.experiment)
    with locked(out):
        if note := rerun_note(plan, store, out):
            console.print(note, highlight=False, soft_wrap=True)
        (out / EXPERIMENT).write_text(dump(plan.experiment), encoding="utf-8")
        (out / STAGES).write_text(json.dumps(stage_names(plan), indent=1), encoding="utf-8")
        # Records of an earlier run must not pass for this one's if this one fails.
        shutil.rmtree(out / "records", ignore_errors=True)
        store.root.mkdir(parents=True, exist_ok=True)
        stages = list(plan.stages.values())
        view = (LiveView if sys.stdout.isatty() else PlainView)(stages, console)
        setup = ExecutorSetup(workers, out / "logs", view.step, address)
        with view, open_executor(setup) as submitter:
            outcome = run(plan, store, submitter, [view, LogFile(out / "log.jsonl")], workers)
        save_failures(outcome, out)
        records = collect(plan, store, outcome)
        records.write(out / "records")
        left_out = records.measures[records.measures.group == LEFT_OUT]
        rows_left_out = {str(why): int(count) for why, count in zip(left_out.name, left_out.value, strict=True)}
        manifest = {**_manifest(plan, outcome), "rows_left_out": rows_left_out}
        (out / MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for why, count in rows_left_out.items():
            console.print(f"rows left out of the data: {count} × {why}", markup=False, highlight=False, soft_wrap=True)
        measured = (records.cells.status == "ok").sum()
        console.print(f"measured {measured} of {len(plan.cells)} cells in {outcome.seconds:.0f} s", highlight=False)
        for failure in outcome.failures.values():
            console.print(
                f"failed: {failure.kind} · {failure.label}: {failure.error}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        if outcome.failures:
            console.print(f"details are in {out / 'logs'}", highlight=False, soft_wrap=True)
        if not measured:
            return Exit.NOTHING
        from reports.build import build

        console.print(f"report: {build(out)}", highlight=False, soft_wrap=True)
    return Exit.FAILED if outcome.failures else Exit.OK


def _manifest(plan: Plan, outcome: Outcome) -> dict[str, Any]:
    experiment = plan.experiment
    return {
        "experiment": {"name": experiment.name, "title": experiment.title, "description": experiment.description},
        "caveat": experiment.caveat,
        "published": experiment.published.model_dump() if experiment.published else None,
        "seeds": experiment.seeds,
        "rewards": experiment.rewards,
        "toxicity": experiment.toxicity.model_dump(exclude_none=True),
        "judge": experiment.judge.identity,
        "budgets": plan.budgets,
        "expected_cells": len(plan.cells),
        "seconds": outcome.seconds,
        "failures": [vars(failure) for failure in outcome.failures.values()],
        "schema": SCHEMA_VERSION,
        "cells": {cell.cell: [stage.key for stage in cell.stages] for cell in plan.cells},
        **provenance(),
    }
