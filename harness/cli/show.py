"""Output of the listing verbs: plans, progress of a run, cells, and the shipped experiments and methods."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from harness.errors import one_line
from harness.plan.bills import bills
from harness.plan.cells import Plan
from harness.plan.check import ADD_TOXICITY, has_toxicity
from harness.plan.estimate import gpu_hours, has_bfloat16, peak_bytes, seconds, stored_bytes, tokens
from harness.plan.shared_stages import pair_files
from harness.plan.stage import Stage
from harness.run.downloads import downloads
from harness.run.earlier import rerun_note
from harness.run.formats import planned_formats
from harness.spec.data import PairData
from harness.spec.experiment import Experiment
from harness.spec.loading import load, scales, shipped
from harness.store.names import CHECKPOINT
from harness.store.store import Store
from harness.terminal import plain, say
from reports.text import display_name
from trainers.data.forms.recognition import named


def show_plan(plan: Plan, store: Store, out: Path) -> dict[str, Any]:
    """Stages by kind with tokens and estimated time, the tuning budgets, what is in the store, and what runs again."""
    console = Console()
    say(console, plan.experiment.title)
    say(console, f"{len(plan.cells)} cells, {len(plan.stages)} stages")
    on_gpu = str(plan.experiment.training.get("device", "cpu")) != "cpu"
    processor, duration = ("A100", _gpu_seconds) if on_gpu else ("core", seconds)
    table = Table("stage", "count", "in store", "tokens", f"{processor} time", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    missing, kinds = 0.0, {}
    for kind, stages in _by_kind(plan).items():
        todo = [stage for stage in stages if not store.has(stage.key)]
        cost = sum(map(duration, todo))
        missing += cost
        kinds[kind] = {"count": len(stages), "in_store": len(stages) - len(todo), "seconds": cost}
        table.add_row(
            plain(kind),
            str(len(stages)),
            str(len(stages) - len(todo)),
            f"{sum(map(tokens, stages)):,}",
            _duration(cost),
        )
    console.print(table)
    if peaks := _peaks(plan):
        say(console, f"peak memory of training (rough): {peaks}")
    if states := sum(map(stored_bytes, plan.stages.values())):
        say(console, f"stored hidden states of prompts: at most {states / 2**20:,.1f} MiB")
    data = list(data_lines(plan.experiment))
    for line in data:
        say(console, line)
    rewards = ", ".join(f"{name} {weight:g}" for name, weight in plan.experiment.rewards.items())
    say(
        console,
        f"measured: {', '.join(plan.experiment.suites)}; designer reward: {rewards or 'none'}; seeds: {len(plan.experiment.seeds)}",
    )
    if not has_toxicity(plan.experiment):
        say(console, f"left out: toxicity, for which no scorer is named ({ADD_TOXICITY} adds it)")
    say(console, f"trials per method: {_budgets(plan.budgets)}")
    for line in _formats(plan, store):
        say(console, line)
    for bill in bills(plan.stages.values()):
        say(console, str(bill))
    if not on_gpu and plan.experiment.training.get("dtype") == "bfloat16" and not has_bfloat16():
        say(
            console,
            "this processor has no bfloat16 arithmetic: training.dtype=float32 is about three times as fast here",
        )
    here = "" if on_gpu else f"; this machine has {os.cpu_count()}"
    say(console, f"to do: about {_duration(missing)} of one {processor} (rough){here}")
    note, wanted = rerun_note(plan, store, out), [str(download) for download in downloads(plan, store)]
    for line in [*([note] if note else []), *(f"to download: {download}" for download in wanted)]:
        say(console, line)
    return {
        "experiment": plan.experiment.name, "out": out, "cells": len(plan.cells), "stages": kinds, "trials": plan.budgets,
        "processor": processor, "seconds": missing, "bills": bills(plan.stages.values()), "downloads": wanted, "note": note,
        "data": data,
    }  # fmt: skip


def _formats(plan: Plan, store: Store) -> Iterator[str]:
    """For each size how its base sees prompts and responses, with the first example and its token ids."""
    for size, first in planned_formats(plan, store).items():
        if first is None:
            yield f"prompts of {size}: by the base's chat template, if its tokenizer has one; it is not read yet"
            continue
        yield f"prompts of {size}: {first}"
        if first.prompt_tokens:
            yield f"  first prompt {first.prompt!r}, token ids {list(first.prompt_tokens)}"
            yield f"  its chosen response {first.response!r}, token ids {list(first.response_tokens)}"


def data_lines(experiment: Experiment) -> Iterator[str]:
    """For each data set the form that it is read in; that of the hub's is recognised when it is read."""
    if not isinstance(experiment.data, PairData):
        return
    files = pair_files(experiment.data)
    for number, part in enumerate(experiment.data.parts):
        if number in files:
            yield f"data {files[number].file.path.name}: {files[number].form}"
        else:
            form = str(named(part.form)) if part.form else "its form is recognised by the columns when it is read"
            yield f"data {part.path} ({part.split}): {form}"


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
    trained = {(cell.size, cell.label): cell.policy for cell in plan.cells if cell.policy}  # the same for every seed
    largest: dict[str, int] = {}
    for (size, _), policy in trained.items():
        if policy.kind == "align" and (peak := peak_bytes(policy)):
            largest[size] = max(largest.get(size, 0), peak)
    return ", ".join(f"{size} {_size(peak)}" for size, peak in largest.items())


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"


def _gpu_seconds(stage: Stage) -> float:
    return 3600 * gpu_hours(stage)


def show_cells(plan: Plan, store: Store) -> dict[str, Any]:
    """Every cell with its id and the checkpoint's folder, or a dash where it is not trained yet."""
    # No table: a path that is cut to fit the terminal cannot be copied.
    width, cells = max(len(planned.label) for planned in plan.cells), []
    for planned in plan.cells:
        trained = planned.policy and store.has(planned.policy.key)
        where = store.path(planned.policy.key) / CHECKPOINT if planned.policy and trained else None
        print(
            one_line(f"{planned.cell}  {planned.label:<{width}}  {planned.size}  seed {planned.seed}  {where or '-'}")
        )
        cell = {name: getattr(planned, name) for name in ("cell", "label", "size", "seed")}
        cells.append({**cell, "checkpoint": where})
    return {"experiment": plan.experiment.name, "cells": cells}


def show_library() -> dict[str, Any]:
    """The shipped experiments with their scales, the registered methods and the data steps."""
    from trainers.data_steps import steps
    from trainers.methods import methods

    console = Console(highlight=False, soft_wrap=True)
    experiments = {name: {"title": load(name).title, "scales": scales(name)} for name in shipped()}
    registered = {
        what: {name: (cls.__doc__ or "").strip().splitlines()[0] for name, cls in registry.items()}
        for what, registry in (("methods", methods()), ("data steps", steps()))
    }
    console.print("experiments")
    for name, about in experiments.items():
        also = "".join(f" (--set scale={scale})" for scale in about["scales"])
        say(console, f"  {name:<18} {about['title']}{also}")
    for what, lines in registered.items():
        console.print(what)
        for name, line in lines.items():
            say(console, f"  {name:<18} {line}")
    return {"experiments": experiments, "methods": registered["methods"], "data_steps": registered["data steps"]}


def _by_kind(plan: Plan) -> dict[str, list[Stage]]:
    kinds: dict[str, list[Stage]] = defaultdict(list)
    for stage in plan.stages.values():
        kinds[stage.kind].append(stage)
    return kinds


def _duration(value: float) -> str:
    return str(timedelta(seconds=round(value)))
