"""Output of the listing verbs: plans, progress of a run, cells, and the shipped experiments and methods."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table

from harness.plan.cells import Plan
from harness.plan.estimate import gpu_hours, n_parameters, peak_bytes, seconds, stored_bytes, tokens
from harness.plan.judging import bills
from harness.plan.stage import Stage
from harness.run.downloads import downloads
from harness.run.earlier import rerun_note
from harness.run.formats import planned_formats
from harness.run.scheduler import load_failures
from harness.spec.loading import load, scales, shipped
from harness.store.names import CHECKPOINT
from harness.store.store import Store
from reports.text import display_name

LARGE = 10**8
"""Number of parameters from which a plan states GPU time."""


def show_plan(plan: Plan, store: Store, out: Path) -> None:
    """Stages by kind with tokens and estimated time, the tuning budgets, what is in the store, and what runs again."""
    console = Console()
    console.print(f"{plan.experiment.title}\n{len(plan.cells)} cells, {len(plan.stages)} stages", highlight=False)
    on_gpu = max(map(n_parameters, plan.stages.values())) >= LARGE
    processor, duration = ("A100", _gpu_seconds) if on_gpu else ("core", seconds)
    table = Table("stage", "count", "in store", "tokens", f"{processor} time", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    missing = 0.0
    for kind, stages in _by_kind(plan).items():
        made = [stage for stage in stages if store.has(stage.key)]
        todo = [stage for stage in stages if not store.has(stage.key)]
        cost = sum(map(duration, todo))
        missing += cost
        table.add_row(kind, str(len(stages)), str(len(made)), f"{sum(map(tokens, stages)):,}", _duration(cost))
    console.print(table)
    if peaks := _peaks(plan):
        console.print(f"peak memory of training (rough): {peaks}", highlight=False, soft_wrap=True)
    if states := sum(map(stored_bytes, plan.stages.values())):
        console.print(f"stored hidden states of prompts: at most {states / 2**20:,.1f} MiB", highlight=False)
    rewards = ", ".join(f"{name} {weight:g}" for name, weight in plan.experiment.rewards.items())
    console.print(
        f"measured: {', '.join(plan.experiment.suites)}; designer reward: {rewards or 'none'}; seeds: {len(plan.experiment.seeds)}",
        highlight=False,
        soft_wrap=True,
    )
    console.print(f"trials per method: {_budgets(plan.budgets)}", highlight=False, soft_wrap=True)
    for line in _formats(plan, store):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    for bill in bills(plan.stages.values()):
        console.print(str(bill), highlight=False, soft_wrap=True)
    here = "" if on_gpu else f"; this machine has {os.cpu_count()}"
    console.print(f"to do: about {_duration(missing)} of one {processor} (rough){here}", highlight=False)
    if note := rerun_note(plan, store, out):
        console.print(note, highlight=False, soft_wrap=True)
    for download in downloads(plan, store):
        console.print(f"to download: {download}", highlight=False, soft_wrap=True)


def _formats(plan: Plan, store: Store) -> Iterator[str]:
    """For each size how its base sees prompts and responses, with the first example and its token ids."""
    for size, found in planned_formats(plan, store).items():
        if found is None:
            yield f"prompts of {size}: by the base's chat template, if its tokenizer has one; it is not on this machine yet"
            continue
        yield f"prompts of {size}: {found}"
        if found.prompt_tokens:
            yield f"  first prompt {found.prompt!r}, token ids {list(found.prompt_tokens)}"
            yield f"  its chosen response {found.response!r}, token ids {list(found.response_tokens)}"


def _budgets(trials: Mapping[str, int]) -> str:
    """Methods by their number of trials, with a note if the numbers differ.

    Examples
    --------
    >>> _budgets({"dpo": 4, "upo": 4}), _budgets({"dpo": 4, "upo": 2})
    ('4 (DPO, UPO)', '4 (DPO), 2 (UPO); the tuning budgets differ, and the report says so')
    """
    groups: dict[int, list[str]] = {}
    for name, count in trials.items():
        groups.setdefault(count, []).append(display_name(name))
    listed = ", ".join(f"{count} ({', '.join(names)})" for count, names in groups.items())
    return listed + ("; the tuning budgets differ, and the report says so" if len(groups) > 1 else "")


def _peaks(plan: Plan) -> str:
    """For each size the memory that training its largest policy takes."""
    largest: dict[str, int] = {}
    for cell in plan.cells:
        if cell.policy and cell.policy.kind == "align" and (peak := peak_bytes(cell.policy)):
            largest[cell.size] = max(largest.get(cell.size, 0), peak)
    return ", ".join(f"{size} {_size(peak)}" for size, peak in largest.items())


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _gpu_seconds(stage: Stage) -> float:
    return 3600 * gpu_hours(stage)


def show_status(plan: Plan, store: Store, out: Path) -> None:
    """Done, failed and pending stages by kind, and the failures in words."""
    console, failures = Console(), load_failures(out)
    table = Table("stage", "done", "failed", "pending", box=None, pad_edge=False)
    for kind, stages in _by_kind(plan).items():
        done = sum(store.has(stage.key) for stage in stages)
        failed = sum(stage.key in failures and not store.has(stage.key) for stage in stages)
        table.add_row(kind, str(done), str(failed), str(len(stages) - done - failed))
    console.print(table)
    for failure in failures.values():
        if failure.key in plan.stages and not store.has(failure.key):
            console.print(
                f"failed: {failure.kind} · {failure.label}: {failure.error}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    report = out / "report" / "index.html"
    console.print(f"report: {report}" if report.exists() else "no report yet", highlight=False, soft_wrap=True)


def show_cells(plan: Plan, store: Store) -> None:
    """Every cell with its id and the checkpoint's folder, or a dash where it is not trained yet."""
    # No table: a path that is cut to fit the terminal cannot be copied.
    width = max(len(cell.label) for cell in plan.cells)
    for cell in plan.cells:
        trained = cell.policy and store.has(cell.policy.key)
        where = store.path(cell.policy.key) / CHECKPOINT if cell.policy and trained else "-"
        print(f"{cell.cell}  {cell.label:<{width}}  {cell.size}  seed {cell.seed}  {where}")


def show_library() -> None:
    """The shipped experiments with their scales, the registered methods and the data steps."""
    from trainers.data_steps import steps
    from trainers.methods import methods

    console = Console(highlight=False, soft_wrap=True)
    console.print("experiments")
    for name in shipped():
        also = "".join(f" (--set scale={scale})" for scale in scales(name))
        console.print(f"  {name:<18} {load(name).title}{also}")
    for what, registry in (("methods", methods()), ("data steps", steps())):
        console.print(what)
        for name, cls in registry.items():
            console.print(f"  {name:<18} {(cls.__doc__ or '').strip().splitlines()[0]}", markup=False)


def _by_kind(plan: Plan) -> dict[str, list[Stage]]:
    kinds: dict[str, list[Stage]] = defaultdict(list)
    for stage in plan.stages.values():
        kinds[stage.kind].append(stage)
    return kinds


def _duration(value: float) -> str:
    return str(timedelta(seconds=round(value)))
