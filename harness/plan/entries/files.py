"""Plans of entries from files: responses, item scores and logs of others."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from harness.errors import UsageError, nearest
from harness.inputs.results import Result, read_results
from harness.inputs.results.join import ScoreColumn
from harness.plan.designer import objectives_of
from harness.plan.entries.cell import EntryCell, entry_cells, size_of
from harness.plan.shared_stages import SharedStages
from harness.plan.stage import File, Model, Stage
from harness.spec.entries import FromFile, Generations, Log, Scores
from harness.spec.experiment import Experiment


@dataclass(frozen=True)
class Contents:
    """A file of results that has been read."""

    form: str
    module: str
    results: tuple[Result, ...]


def contents(name: str, entry: FromFile) -> Contents:
    """The results of an entry's file, read once for every version of its bytes."""
    path = path_of(entry)
    if not path.exists():
        raise UsageError(f"methods.{name}: {path}: no such file")
    try:
        return _contents(path, source(path).key, tuple(sorted(entry.columns.items())))
    except UsageError as fault:
        raise UsageError(f"methods.{name}: {fault}") from None


@lru_cache(maxsize=64)
def _contents(path: Path, key: str, columns: tuple[tuple[str, str], ...]) -> Contents:
    form, results = read_results(path, dict(columns))
    return Contents(form.name, form.module, tuple(results))


def path_of(entry: FromFile) -> Path:
    """The file or folder of an entry."""
    return Path(next(getattr(entry, key) for key in ("generations", "scores", "log") if hasattr(entry, key)))


def source(path: Path) -> File | Model:
    """A file, or a folder with all its files, as an input."""
    return Model.folder(path) if path.is_dir() else File(path)


@entry_cells.register
def _(entry: Generations, name: str, experiment: Experiment, shared: SharedStages) -> list[EntryCell]:
    if all(result.response is None for result in contents(name, entry).results):
        raise UsageError(f"methods.{name}.generations: {path_of(entry)} holds no response; scores: reads scores alone")
    return _cells(entry, name, experiment, shared.prompts)


@entry_cells.register(Scores)
@entry_cells.register(Log)
def _(entry: FromFile, name: str, experiment: Experiment, shared: SharedStages) -> list[EntryCell]:
    cells = _cells(entry, name, experiment, shared.prompts)
    if not any(cell.scores or cell.generate for cell in cells):
        columns = sorted({column for result in contents(name, entry).results for column in result.scores})
        raise UsageError(
            f"methods.{name}: {path_of(entry)} holds scores of {', '.join(columns)}, and none of them is an objective; "
            "name them, as in objectives: {NAME: {column: "
            f"{columns[0]}, direction: maximize, bounds: [0, 1]}}}}"
        )
    return cells


def _cells(entry: FromFile, name: str, experiment: Experiment, prompts: Stage) -> list[EntryCell]:
    """One cell for every generator, size and seed of the file."""
    section, read = f"methods.{name}", contents(name, entry)
    generators = list(dict.fromkeys(result.generator for result in read.results))
    if entry.generator is not None:
        if entry.generator not in generators:
            raise UsageError(
                f"{section}.generator: {path_of(entry)} has no {entry.generator!r}{nearest(entry.generator, generators)}"
            )
        generators = [entry.generator]
    cells = []
    for generator in generators:
        results = [result for result in read.results if result.generator == generator]
        for size, seed in dict.fromkeys((result.size, result.seed) for result in results):
            own = [result for result in results if (result.size, result.seed) == (size, seed)]
            shown = name if len(generators) == 1 else generator
            label = " ".join(filter(None, (shown, size, f"seed {seed}" if seed is not None else "")))
            stage = _stage(entry, read, label, (generator, size, seed), experiment, own, prompts)
            cells.append(
                EntryCell(
                    entry=shown,
                    size=size_of(section, entry.size or size, experiment),
                    seed=entry.seed if entry.seed is not None else seed or 0,
                    settings={"file": path_of(entry).name, "generator": generator, "form": read.form},
                    generate=stage if any(result.response is not None for result in own) else None,
                    scores={"imported": stage} if stage.parameters["objectives"] else {},
                )
            )
    return cells


def _stage(
    entry: FromFile,
    read: Contents,
    label: str,
    model: tuple[str, str, int | None],
    experiment: Experiment,
    results: Sequence[Result],
    prompts: Stage,
) -> Stage:
    columns = {column for result in results for column in result.scores}
    parameters = {
        "form": read.form,
        "module": read.module,
        "columns": entry.columns,
        "model": list(model),
        "objectives": _score_columns(experiment, columns),
        "template": prompts.parameters.get("template", "{prompt}"),
    }
    inputs = {"file": source(path_of(entry)), "data": prompts}
    return Stage("import_results", f"import {label}", parameters, inputs, (read.module,))


def _score_columns(experiment: Experiment, columns: set[str]) -> Mapping[str, ScoreColumn]:
    """The objectives whose scores a file has: those that name its column, and known ones of the column's name."""
    own = experiment.objectives
    named = {
        name: ScoreColumn(column=spec.column, bounds=list(spec.bounds), clip=spec.clip)
        for name, spec in own.items()
        if spec.column in columns and spec.column is not None
    }
    by_name = {
        name: ScoreColumn(column=name, bounds=list(objective.bounds), clip=False)
        for name, objective in objectives_of(experiment).items()
        if name in columns and name not in own
    }
    return dict(sorted((named | by_name).items()))


def result_prompts(experiment: Experiment) -> Stage:
    """The stage that makes the evaluation prompts of the entries' own files."""
    from harness.inputs.results.prompts import digest, prompts_of

    files = {name: entry for name, entry in experiment.entries.items() if isinstance(entry, FromFile)}
    rows = prompts_of(contents(name, entry).results for name, entry in files.items())
    if "win_rate" in experiment.suites and (lacking := [row for row in rows if row["reference"] is None]):
        raise UsageError(
            f"data.prompts: {len(lacking)} of {len(rows)} prompts have no reference response, which the suite 'win_rate' "
            "needs; name a set with references (--set data.prompts.set=FILE) or leave 'win_rate' out of 'suites'"
        )
    settings = {"files": [{"path": str(path_of(entry)), "columns": entry.columns} for entry in files.values()]}
    parameters = {"digest": digest(rows), "test_prompts": len(rows)}
    return Stage("result_prompts", "prompts of the files", json.loads(json.dumps(parameters)), settings=settings)
