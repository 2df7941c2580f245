"""Analysis of a run: all statistics of the report, computed from its grids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from harness.records import Objective, Records
from reports.frontiers import frontier
from reports.frontiers.gaps import gap_ranks, gap_tables
from reports.frontiers.held_out import Reported, held_out, reported
from reports.frontiers.judges import agreements, opinions
from reports.frontiers.methods import hypervolume_comparisons, method_label, method_results, volumes_of
from reports.frontiers.opinions import arenas, corrected
from reports.frontiers.planes import panels_of
from reports.frontiers.selection import BY_OTHERS, representative
from reports.grids import Grid, Point, Study, study
from reports.labels import joined
from reports.results import COSTS, FEW, Analysis, Budget, PointResult
from reports.statistics.estimates import (
    Estimate,
    Spread,
    checkpoints,
    estimate,
    missing_bounds,
    seed_and_prompt_error,
    whatever_is_missing,
)
from reports.statistics.length_control import OBJECTIVE as CONTROLLED
from reports.statistics.length_control import length_controlled
from reports.statistics.resampling import Replicates, replicate, varies
from reports.statistics.seed_noise import Noise, composite_noise, seed_noise
from reports.statistics.toxicity_tails import tails
from reports.statistics.variance import Parts, variance_parts
from reports.statistics.verdicts import ALPHA, BETTER, WORSE, Comparison, compare, decide

if TYPE_CHECKING:
    import pandas as pd

FRONTIER_ROLES = ("user", "designer")


def analyse(records: Records, resamples: int = 2000, seed: int = 0, labels: pd.DataFrame | None = None) -> Analysis:
    """Every estimate, frontier and comparison of a run.

    Parameters
    ----------
    resamples : int
        Joint draws of seeds and prompts.
    seed : int
        Root of all named random streams; the same seed gives the same report.
    labels : DataFrame, optional
        Labels of people with the columns `reports.labels.COLUMNS`.
    """
    return analyse_study(study(records, tails(records)), resamples, seed, labels)


@dataclass(frozen=True)
class Basis:
    """What every part of an analysis rests on: points measured on all objectives, variances, joint draws.

    `users` are the user objectives, those of a second judge included, `axes` the objectives and the costs that all points have.
    """

    study: Study
    points: list[Point]
    objectives: tuple[Objective, ...]
    users: list[Objective]
    axes: list[Objective]
    parts: Parts
    noise: Noise
    draws: Replicates | None
    seed: int


def basis(study: Study, resamples: int = 2000, seed: int = 0) -> Basis:
    """Variances and joint draws of a study."""
    parts = variance_parts(study.select(), study.grids)
    noise = seed_noise(study.select(), study.grids, parts)
    users = opinions(study.objectives("user", "descriptive"))
    objectives = tuple(o for o in study.objectives(*FRONTIER_ROLES) if o not in users[1:])
    points = [point for point in study.select() if _measured(point, study, objectives)]
    costs = [cost for cost in study.objectives("cost") if all(_measured(point, study, [cost]) for point in points)]
    axes = [*objectives, *costs]
    second = [user for user in users if user not in axes]
    grids = [study.grids[objective.name] for objective in [*axes, *second]]
    draws = replicate(points, grids, parts, noise, resamples, seed) if points and grids else None
    return Basis(study, points, objectives, users, axes, parts, noise, draws, seed)


def analyse_study(study: Study, resamples: int = 2000, seed: int = 0, labels: pd.DataFrame | None = None) -> Analysis:
    """`analyse` for records that are arranged as arrays already."""
    base = basis(study, resamples, seed)
    points, objectives, draws = base.points, base.objectives, base.draws
    results = point_results(base, _membership(study, points, draws, objectives))
    alphas = primary_levels(study, points, objectives)
    volumes = volumes_of(study, points, draws, objectives, base.noise, seed)
    methods = method_results(study, volumes, objectives, results, base.noise)
    source = reported(study, points, objectives, base.parts, base.noise, draws, seed)
    names = {result.method: result.label for result in methods}
    judges = base.users or study.objectives("user")
    joint = None if labels is None else joined(labels, study.records)
    return Analysis(
        study=study,
        objectives=objectives,
        points=results,
        methods=tuple(methods),
        panels=tuple(panels_of(study, points, draws, base.axes)),
        hypervolumes=tuple(hypervolume_comparisons(volumes, objectives, alphas)),
        held_out=tuple(held_out(study, points, objectives, source)),
        gaps=tuple(gap_ranks(study, names, alphas, seed)),
        judges=tuple(agreements(study, points, base.users, draws)),
        comparisons=tuple(comparisons(base, source)),
        best=could_be_best(study, base.noise),
        length_controlled=tuple(length_controlled(study, _raw(results), seed=seed)),
        budgets=tuple(_budgets(study)),
        costs=_costs(study),
        resamples=resamples,
        seed=seed,
        arenas=tuple(arenas(study, points, judges)),
        corrected=() if joint is None else tuple(corrected(study, points, judges, joint)),
    )


def primary_levels(study: Study, points: Sequence[Point], objectives: Sequence[Objective]) -> dict[str, float]:
    """By size, the error rate of each measure of the primary family.

    The family is every method against the best, on hypervolume at equal numbers of settings and on the gap to the true
    frontier. The measures that a size has share `ALPHA` evenly.
    """
    stated = bool(objectives) and all(objective.reference_point is not None for objective in objectives)
    levels = {}
    for size in study.sizes:
        several = len({point.method for point in points if point.size == size}) > 1
        levels[size] = ALPHA / max(1, int(stated and several) + bool(gap_tables(study, size)))
    return levels


def _measured(point: Point, study: Study, objectives: Sequence[Objective]) -> bool:
    return all(study.grids[objective.name].rows(point.cells) for objective in objectives)


def point_results(
    base: Basis, membership: Mapping[str, tuple[bool, float | None]] | None = None
) -> dict[str, PointResult]:
    """Estimates of every point, whether it is measured on all objectives or not.

    Parameters
    ----------
    membership : dict, optional
        Whether each point is on its size's frontier, and in which share of the draws.
    """
    shares = membership or {}
    return {
        point.id: _point(point, base.study.grids, base.parts, base.noise, shares.get(point.id))
        for point in base.study.select()
    }


def _point(
    point: Point, grids: Mapping[str, Grid], parts: Parts, noise: Noise, member: tuple[bool, float | None] | None
) -> PointResult:
    narrow: dict[str, Estimate] = {}
    wide: dict[str, Estimate | None] = {}
    bounds, disagree = {}, {}
    for name, grid in grids.items():
        part = parts.get((point.id, name))
        if part is None:
            continue
        rows = grid.rows(point.cells)
        n, missing = int(grid.count[rows].sum()) or len(rows), int(grid.missing[rows].sum())
        checkpoint_noise = noise.get((point.id, name))
        limits = _limits(grid, rows) if missing else None
        narrow[name] = _shown(part.value, checkpoints(part), grid, n, missing, limits)
        spread = seed_and_prompt_error(part, checkpoint_noise)
        wide[name] = _shown(part.value, spread, grid, n, missing, limits) if spread is not None else None
        if part.n_seeds > 1 and checkpoint_noise is not None and checkpoint_noise.reason:
            disagree[name] = tuple(float(value) for value in grid.mean[rows])
            narrow[name] = replace(
                narrow[name], method=f"{narrow[name].method}, these checkpoints; {checkpoint_noise.reason}"
            )
        if limits is not None:
            bounds[name] = limits
    on_frontier, probability = member or (None, None)
    return PointResult(point, narrow, wide, bounds, on_frontier, probability, disagree)


def _shown(
    value: float, spread: Spread | None, grid: Grid, n: int, missing: int, limits: tuple[float, float] | None
) -> Estimate:
    """A mean with the interval that holds whatever the missing items are."""
    bounds = grid.objective.bounds
    mean = estimate(value, spread, bounds, n, missing, len(grid.clusters))
    return mean if limits is None else whatever_is_missing(mean, spread, limits, bounds)


def _limits(grid: Grid, rows: Sequence[int]) -> tuple[float, float]:
    """The mean over seeds if every missing item had the lowest, or the highest, possible value."""
    each = [
        missing_bounds(grid.total[row].sum(), grid.count[row].sum(), grid.missing[row].sum(), grid.objective.bounds)
        for row in rows
    ]
    low, high = np.mean(each, axis=0)
    return float(low), float(high)


def _membership(
    study: Study, points: Sequence[Point], draws: Replicates | None, objectives: Sequence[Objective]
) -> dict[str, tuple[bool, float | None]]:
    """Per point: on its size's frontier or not, and in which share of the draws (None if they do not differ)."""
    members: dict[str, tuple[bool, float | None]] = {}
    for size in study.sizes:
        here = [point.id for point in points if point.size == size]
        if here and objectives and draws is not None:
            part = draws.select(here, [objective.name for objective in objectives])
            inside = frontier.non_dominated(part.estimate, objectives)
            share = frontier.membership(part.best, objectives) if varies(part.best) else [None] * len(here)
            members |= {point: (bool(on), p and float(p)) for point, on, p in zip(here, inside, share, strict=True)}
    return members


def comparisons(base: Basis, source: Reported) -> list[Comparison]:
    """Each method's representative against each other's, on every objective, at each size."""
    if not base.objectives or not base.points:
        return []
    compared = []
    for size in base.study.sizes:
        here = [point for point in base.points if point.size == size]
        groups = [[point for point in here if point.method == name] for name in base.study.methods]
        chosen = [source.representative(group, base.objectives) for group in groups if group]
        if chosen:
            compared += _compared(chosen, here, base.objectives, source)
    return compared


def _compared(
    chosen: Sequence[Point],
    settings: Sequence[Point],
    objectives: Sequence[Objective],
    source: Reported,
) -> list[Comparison]:
    """Pairs of the methods' chosen points at one size, in words, named by the setting that all seeds together choose."""
    pairs = list(combinations(chosen, 2))
    if len(chosen) > FEW:
        first = representative(chosen, source.choosing, objectives)
        pairs = [(first, other) for other in chosen if other is not first]
    names = [objective.name for objective in objectives]
    plain = {point.id for point in settings}
    noise, others = dict(source.noise), {}
    for point in chosen:
        if point.id not in plain:
            origins = [each for cell in point.cells for each in settings if cell in each.cells]
            noise |= composite_noise(point, origins, names, source.noise)
            others[point.id] = origins
    compared = [compare(*pair, source.grids[name], noise) for name in names for pair in pairs]
    decided = decide(compared, {point.id: point for point in chosen}, source.grids, among=len(chosen))
    named = {point.id: point.id.removesuffix(BY_OTHERS) for point in chosen}
    return [_named(c, named, others, source.draws, objectives) for c in decided]


def _named(
    c: Comparison,
    named: Mapping[str, str],
    others: Mapping[str, Sequence[Point]],
    draws: Replicates | None,
    objectives: Sequence[Objective],
) -> Comparison:
    """A comparison under the ids of the run's own settings, with what the other seeds chose as a note."""
    chosen = [
        " and ".join(dict.fromkeys(p.label for p in others[each])) for each in (c.first, c.second) if each in others
    ]
    note = "; ".join([c.note] * bool(c.note) + [f"the other seeds choose {each}" for each in chosen])
    each = [tuple(p.id for p in others.get(point, ())) for point in (c.first, c.second)]
    c = replace(c, first=named[c.first], second=named[c.second], note=note, settings=(each[0], each[1]))
    return replace(c, dominates=_dominates(draws, c, objectives) if draws is not None else None)


def _dominates(draws: Replicates, comparison: Comparison, objectives: Sequence[Objective]) -> float:
    """Share of the joint draws in which the first point dominates the second."""
    both = draws.select([comparison.first, comparison.second], [objective.name for objective in objectives]).best
    return float(frontier.dominates(both[:, 0], both[:, 1], objectives).mean())


def _raw(results: dict[str, PointResult]) -> dict[str, Estimate]:
    return {point: controlled for point, result in results.items() if (controlled := result.best(CONTROLLED))}


def could_be_best(study: Study, noise: Noise) -> dict[tuple[str, str], frozenset[str]]:
    """Per size and objective, the points that could be the best: none is shown to be better.

    All points of a column are one family, so that a truly best point is left out with probability `ALPHA` at most.
    """
    best = {}
    for size in study.sizes:
        for name, grid in study.grids.items():
            points = [point for point in study.select(size) if grid.rows(point.cells)]
            if not points:
                continue
            sign = 1 if grid.objective.direction == "maximize" else -1
            top = max(points, key=lambda point: sign * grid.mean[grid.rows(point.cells)].mean())
            versus = [compare(top, point, grid, noise) for point in points if point is not top]
            decided = decide(versus, {point.id: point for point in points}, study.grids, among=len(points))
            best[size, name] = frozenset([top.id, *[c.second for c in decided if c.verdict not in (BETTER, WORSE)]])
    return best


def _budgets(study: Study) -> list[Budget]:
    """What was spent on each method; a starting point that was not trained has no budget."""
    cells = study.records.cells
    budgets = []
    for name in study.methods:
        mine = cells[cells.method == name]
        if (mine.status == "ok").any() and not mine.trained_tokens.any():
            continue
        budgets.append(
            Budget(
                method=name,
                label=method_label(point for point in study.points if point.method == name),
                configurations=mine.point.nunique(),
                planned=len(mine),
                failed=int((mine.status != "ok").sum()),
                seconds=float(mine.train_seconds.sum()),
                tokens=int(mine.trained_tokens.sum()),
            )
        )
    return budgets


def _costs(study: Study) -> dict[str, dict[str, float]]:
    """Mean cost of a measured cell, by point."""
    cells = study.records.cells
    measured = cells[cells.status == "ok"]
    # records of an older schema lack a column
    means = measured.reindex(columns=["point", *COSTS]).fillna(0.0).groupby("point").mean()
    return {str(point): {name: float(row[name]) for name in COSTS} for point, row in means.iterrows()}
