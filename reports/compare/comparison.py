"""Comparison of finished runs: paired differences of the settings that runs share, and all frontiers together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

from harness.records import Objective
from reports.analysis import analyse
from reports.compare.merge import Merged, Setting, merge
from reports.compare.settings import Unlike, unlike
from reports.compare.sides import Side, read_sides
from reports.grids import Grid, Point, Study, study
from reports.results import Analysis, HypervolumeComparison
from reports.run_folder import Stored
from reports.statistics.estimates import Estimate
from reports.statistics.seed_noise import Noise, seed_noise
from reports.statistics.variance import variance_parts
from reports.statistics.verdicts import ALPHA, Comparison, compare, decide

DESCRIPTIVE = "descriptive"
"""Role of the objectives that are part of no verdict, and would only widen the intervals of the others."""
BY_ORDER = "no seed in common: the seeds are paired in their order"


@dataclass(frozen=True)
class Paired:
    """A setting that two sides share, on one objective: the difference second − first on common prompts.

    The interval, `p` and the verdict, which is about the second side, hold for all settings, objectives and pairs of sides of
    the size together. `equal` says that both sides have the same scores, item for item.
    """

    size: str
    setting: str
    objective: Objective
    first: str
    second: str
    values: tuple[float, float] | None
    difference: Estimate | None
    p: float | None
    verdict: str
    scope: str
    note: str
    equal: bool


@dataclass(frozen=True)
class Beside:
    """Runs beside each other.

    Parameters
    ----------
    sides : tuple of Side
    runs : dict of str to Stored
    unlike : tuple of Unlike
        What differs, with a value for each run.
    merged : Merged
    paired : tuple of Paired
    hypervolumes : tuple of HypervolumeComparison
        Of the same method on two sides.
    analysis : Analysis or None
        Of all sides together; None where they have no objective in common.
    """

    sides: tuple[Side, ...]
    runs: dict[str, Stored]
    unlike: tuple[Unlike, ...]
    merged: Merged
    paired: tuple[Paired, ...]
    hypervolumes: tuple[HypervolumeComparison, ...]
    analysis: Analysis | None

    @property
    def settings(self) -> int:
        """Number of settings that at least two sides have measured."""
        return len({(each.size, each.setting) for each in self.paired})


def compare_runs(folders: Sequence[Path], resamples: int = 2000, seed: int = 0) -> Beside:
    """Compare finished runs.

    Parameters
    ----------
    folders : sequence of Path
        At least two run folders. Differences are those of a later run from an earlier one.
    resamples, seed : int
        Joint draws of seeds and prompts, and the root of their random streams.

    Raises
    ------
    reports.run_folder.Refused
        For a folder that is no finished run, or is named twice.
    """
    sides, runs = read_sides(folders)
    merged = merge(sides)
    different = tuple(unlike(list(runs.values())))
    if not merged.shared:
        return Beside(tuple(sides), runs, different, merged, (), (), None)
    analysis = analyse(merged.records, resamples, seed)
    paired = _paired(study(merged.records), merged, sides)
    same = [pair for pair in analysis.hypervolumes if _name(pair.first) == _name(pair.second)]
    return Beside(tuple(sides), runs, different, merged, tuple(paired), tuple(same), analysis)


def _name(method: str) -> str:
    """The entry of a method whose id begins with its side."""
    return method.rpartition(": ")[2]


def _paired(arranged: Study, merged: Merged, sides: Sequence[Side]) -> list[Paired]:
    measured = arranged.select()
    noise = seed_noise(measured, arranged.grids, variance_parts(measured, arranged.grids))
    points = {merged.settings[point.id]: point for point in measured}
    rows = []
    for size in arranged.sizes:
        pairs = [
            (setting, first.name, second.name)
            for first, second in combinations(sides, 2)
            for setting in dict.fromkeys(shared for side, shared in points if side == first.name)
            if setting.size == size and (second.name, setting) in points
        ]
        for setting, first, second in pairs:
            rows += _compared(
                setting, points[first, setting], points[second, setting], (first, second), arranged, noise, len(pairs)
            )
    return rows


def _compared(
    setting: Setting, first: Point, second: Point, sides: tuple[str, str], arranged: Study, noise: Noise, pairs: int
) -> list[Paired]:
    """One setting of two sides on every objective; `pairs` of them share the error rate evenly."""
    note = ""
    if not set(first.seeds) & set(second.seeds):
        first, second, note = *(_by_order(point, first, second) for point in (first, second)), BY_ORDER
    grids = arranged.grids
    raw = [compare(second, first, grid, noise) for grid in grids.values() if grid.objective.role != DESCRIPTIVE]
    decided = decide(raw, {point.id: point for point in (first, second)}, grids, ALPHA / pairs)
    return [_row(setting, each, (first, second), sides, grids[each.objective], pairs, note) for each in decided]


def _by_order(point: Point, first: Point, second: Point) -> Point:
    """A point whose seeds are numbered, as many as both points have."""
    count = min(len(first.cells), len(second.cells))
    return replace(point, cells=point.cells[:count], seeds=tuple(range(count)))


def _row(
    setting: Setting,
    c: Comparison,
    points: tuple[Point, Point],
    sides: tuple[str, str],
    grid: Grid,
    pairs: int,
    note: str,
) -> Paired:
    first, second = (grid.rows(point.cells) for point in points)
    values = (float(grid.mean[first].mean()), float(grid.mean[second].mean())) if first and second else None
    equal = all(np.array_equal(values[first], values[second]) for values in (grid.total, grid.count, grid.mean))
    notes = "; ".join(filter(None, (c.note, note)))
    p = None if c.p is None else min(1.0, pairs * c.p)
    return Paired(
        setting.size, setting.shown, grid.objective, *sides, values, c.difference, p, c.verdict, c.scope, notes, equal
    )
