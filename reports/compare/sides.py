"""Sides of a comparison: finished runs by name, where runs that differ in their seeds alone are one side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reports.nightly.measurement_check import PROSE
from reports.publication import WORLDS
from reports.run_folder import Refused, Stored, read

VERSIONS = ("commit", "python", "libraries")
"""Entries of a manifest that runs of one side share."""
SEEDS = "seeds"
OWN = (SEEDS, "name", *PROSE)
"""Keys of an experiment in which the runs of one side may differ."""


@dataclass(frozen=True)
class Side:
    """One or several runs that are compared as one, with the name that tables and figures show."""

    name: str
    runs: tuple[Stored, ...]


def read_sides(folders: Sequence[Path]) -> tuple[list[Side], dict[str, Stored]]:
    """The sides of the runs in these folders, and the runs by name.

    Runs are named after their folders, with as many parent folders as tell them apart.

    Raises
    ------
    Refused
        For fewer than two runs, a folder given twice, a folder that is no finished run, or a run in several worlds.
    """
    paths = [Path(folder).resolve() for folder in folders]
    if len(paths) < 2:
        raise Refused("name at least two runs to compare")
    if twice := [folder for folder, path in zip(folders, paths, strict=True) if paths.count(path) > 1]:
        raise Refused(f"{twice[0]}: named twice; a run does not differ from itself")
    runs = dict(zip(names(paths), map(_measured, folders), strict=True))
    return group(runs), runs


def _measured(folder: Path) -> Stored:
    if (Path(folder) / WORLDS).is_dir():
        raise Refused(f"{folder}: a run in several worlds; its page compares them, and other runs are of one world")
    run = read(folder)
    if run.records.cells.empty:
        raise Refused(f"{folder}: nothing was measured; run the experiment to its end first")
    return run


def names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that differ, without white space.

    Examples
    --------
    >>> names([Path("/a/runs/bench"), Path("/b/runs/bench"), Path("/b/runs/my run")])
    ['a/runs/bench', 'b/runs/bench', 'my_run']
    """
    shown = []
    for path in paths:
        others = [other for other in paths if other != path]
        depth = next(
            (n for n in range(1, len(path.parts)) if all(other.parts[-n:] != path.parts[-n:] for other in others)),
            len(path.parts),
        )
        shown.append("_".join("/".join(path.parts[-depth:]).split()))
    return shown


def group(runs: dict[str, Stored]) -> list[Side]:
    """Runs as sides, in their order; runs that differ in their seeds alone share one."""
    sides: list[list[str]] = []
    for name, run in runs.items():
        home = next((side for side in sides if _differ_in_seeds_alone(run, [runs[other] for other in side])), None)
        if home is None:
            sides.append([name])
        else:
            home.append(name)
    return [Side("+".join(side), tuple(runs[name] for name in side)) for side in sides]


def _differ_in_seeds_alone(run: Stored, others: Sequence[Stored]) -> bool:
    same = all(_without_seeds(run) == _without_seeds(other) for other in others)
    return same and all(_seeds(run) != _seeds(other) for other in others)


def _without_seeds(run: Stored) -> tuple[Any, ...]:
    settings = {key: value for key, value in run.experiment.items() if key not in OWN}
    return settings, *(run.manifest.get(name) for name in VERSIONS)


def _seeds(run: Stored) -> frozenset[int]:
    return frozenset(run.records.cells.seed)
