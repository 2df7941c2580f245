"""From a study to everything that the report says: the one place where statistics are put together."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np

from harness.records import Records
from reports.frontiers import frontier
from reports.frontiers.gaps import gap_ranks
from reports.frontiers.held_out import Reported, held_out, reported
from reports.frontiers.judges import agreements, opinions
from reports.frontiers.methods import method_label, method_results
from reports.frontiers.planes import panels_of
from reports.grids import Grid, Point, Study, study
from reports.results import COSTS, FEW, Analysis, Budget, PointResult
from reports.statistics.estimates import (
    Estimate,
    checkpoints,
    estimate,
    missing_bounds,
    seed_and_prompt_error,
)
from reports.statistics.length_control import OBJECTIVE as CONTROLLED
from reports.statistics.length_control import length_controlled
from reports.statistics.resampling import Replicates, replicate, varies
from reports.statistics.toxicity_tails import with_tails
from reports.statistics.variance import seed_noise, variance_parts
from reports.statistics.verdicts import Comparison, compare, decide

FRONTIER_ROLES = ("user", "designer")


def analyse(records: Records, resamples: int = 2000, seed: int = 0) -> Analysis:
    """Every estimate, frontier and comparison of a run.

    Parameters
    ----------
    resamples : int
        Joint draws of seeds and prompts.
    seed : int
        Root of all named random streams; the same seed gives the same report.
    """
    found = study(with_tails(records))
    parts = variance_parts(found.select(), found.grids)
    noise = seed_noise(found.select(), found.sizes, found.grids, parts)
    users = opinions(found.objectives("user", "descriptive"))
    objectives = tuple(o for o in found.objectives(*FRONTIER_ROLES) if o not in users[1:])
    points = [point for point in found.select() if _measured(point, found, objectives)]
    costs = [cost for cost in found.objectives("cost") if all(_measured(point, found, [cost]) for point in points)]
    axes = [*objectives, *costs]
    second = [user for user in users if user not in axes]
    grids = [found.grids[objective.name] for objective in [*axes, *second]]
    draws = replicate(points, grids, parts, noise, resamples, seed) if points and grids else None
    membership = _membership(found, points, draws, objectives)
    results = {point.id: _point(point, found.grids, parts, noise, membership.get(point.id)) for point in found.select()}
    methods, versus = method_results(found, points, draws, objectives, results, seed)
    source = reported(found, points, objectives, parts, noise, draws, seed)
    return Analysis(
        study=found,
        objectives=objectives,
        points=results,
        methods=tuple(methods),
        panels=tuple(panels_of(found, points, draws, axes)),
        hypervolumes=tuple(versus),
        held_out=tuple(held_out(found, points, objectives, source)),
        gaps=tuple(gap_ranks(found, {result.method: result.label for result in methods}, seed)),
        judges=tuple(agreements(found, points, users, draws)),
        comparisons=tuple(_comparisons(found, points, objectives, source)),
        best=_best(found, noise),
        length_controlled=tuple(length_controlled(found, _raw(results), seed=seed)),
        budgets=tuple(_budgets(found)),
        costs=_costs(found),
        resamples=resamples,
        seed=seed,
    )


def _measured(point: Point, found: Study, objectives) -> bool:
    return all(found.grids[objective.name].rows(point.cells) for objective in objectives)


def _point(point: Point, grids: dict[str, Grid], parts, noise, member) -> PointResult:
    narrow, wide, bounds = {}, {}, {}
    for name, grid in grids.items():
        part = parts.get((point.id, name))
        if part is None:
            continue
        rows = grid.rows(point.cells)
        n, missing = int(grid.count[rows].sum()), int(grid.missing[rows].sum())
        spread = seed_and_prompt_error(part, noise.get((point.size, point.method, name)))
        common = {"bounds": grid.objective.bounds, "n": n or len(rows), "n_missing": missing}
        narrow[name] = estimate(part.value, checkpoints(part), n_clusters=len(grid.clusters), **common)
        wide[name] = estimate(part.value, spread, n_clusters=len(grid.clusters), **common) if part.n_seeds > 1 else None
        if missing:
            each = [
                missing_bounds(
                    grid.total[row].sum(), grid.count[row].sum(), grid.missing[row].sum(), grid.objective.bounds
                )
                for row in rows
            ]
            bounds[name] = tuple(float(value) for value in np.mean(each, axis=0))
    on_frontier, probability = member or (None, None)
    return PointResult(point, narrow, wide, bounds, on_frontier, probability)


def _membership(
    found: Study, points: list[Point], draws: Replicates | None, objectives
) -> dict[str, tuple[bool, float | None]]:
    """Per point: on its size's frontier or not, and in which share of the draws (None if they do not differ)."""
    members = {}
    for size in found.sizes:
        here = [point.id for point in points if point.size == size]
        if here and objectives:
            part = draws.select(here, [objective.name for objective in objectives])
            inside = frontier.non_dominated(part.estimate, objectives)
            share = frontier.membership(part.best, objectives) if varies(part.best) else [None] * len(here)
            members |= {point: (bool(on), p and float(p)) for point, on, p in zip(here, inside, share, strict=True)}
    return members


def _comparisons(found: Study, points, objectives, source: Reported) -> list[Comparison]:
    """Each method's representative against each other's, on every objective, at each size."""
    if not objectives or not points:
        return []
    compared = []
    for size in found.sizes:
        chosen = []
        for name in found.methods:
            mine = [point for point in points if point.size == size and point.method == name]
            if mine:
                chosen.append(source.representative(mine, objectives))
        pairs = list(combinations(chosen, 2))
        if len(chosen) > FEW:
            first = source.representative(chosen, objectives)
            pairs = [(first, other) for other in chosen if other is not first]
        for objective in objectives:
            grid = source.grids[objective.name]
            compared += [compare(first, second, grid, source.noise) for first, second in pairs]
    decided = decide(compared, {point.id: point for point in found.points}, source.grids)
    return [replace(comparison, dominates=_dominates(source.draws, comparison, objectives)) for comparison in decided]


def _dominates(draws: Replicates, comparison: Comparison, objectives) -> float:
    """Share of the joint draws in which the first point dominates the second."""
    both = draws.select([comparison.first, comparison.second], [objective.name for objective in objectives]).best
    return float(frontier.dominates(both[:, 0], both[:, 1], objectives).mean())


def _raw(results: dict[str, PointResult]) -> dict[str, Estimate]:
    return {point: found for point, result in results.items() if (found := result.best(CONTROLLED))}


def _best(found: Study, noise) -> dict[tuple[str, str], frozenset[str]]:
    """Per size and objective, the point with the best mean and those not significantly worse than it."""
    best = {}
    for size in found.sizes:
        for name, grid in found.grids.items():
            points = [point for point in found.select(size) if grid.rows(point.cells)]
            if not points:
                continue
            sign = 1 if grid.objective.direction == "maximize" else -1
            top = max(points, key=lambda point: sign * grid.mean[grid.rows(point.cells)].mean())
            versus = [compare(top, point, grid, noise) for point in points if point is not top]
            decided = decide(versus, {point.id: point for point in points}, found.grids)
            best[size, name] = frozenset([top.id, *[c.second for c in decided if c.verdict == "tied"]])
    return best


def _budgets(found: Study) -> list[Budget]:
    """What was spent on each method; a starting point that was not trained has no budget."""
    cells = found.records.cells
    budgets = []
    for name in found.methods:
        mine = cells[cells.method == name]
        if (mine.status == "ok").any() and not mine.trained_tokens.any():
            continue
        budgets.append(
            Budget(
                method=name,
                label=method_label(point for point in found.points if point.method == name),
                configurations=mine.point.nunique(),
                planned=len(mine),
                failed=int((mine.status != "ok").sum()),
                seconds=float(mine.train_seconds.sum()),
                tokens=int(mine.trained_tokens.sum()),
            )
        )
    return budgets


def _costs(found: Study) -> dict[str, dict[str, float]]:
    """Mean cost of a measured cell, by point."""
    cells = found.records.cells
    measured = cells[cells.status == "ok"]
    # records of an older schema lack a column
    return measured.reindex(columns=["point", *COSTS]).fillna(0.0).groupby("point").mean().to_dict("index")
