"""Comparisons in words: better, worse, tied or not comparable."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.estimates import (
    Components,
    Estimate,
    checkpoints,
    components,
    estimate,
    p_value,
    seed_and_prompt_error,
)
from reports.statistics.variance import Noise

ALPHA = 0.05
NO_SPREAD = "no uncertainty can be estimated"


@dataclass(frozen=True)
class Comparison:
    """Whether the first point beats the second on one objective.

    `difference` is first − second in the objective's unit. `scope` says what it is about: "method" (seeds
    included) or "checkpoints" (one seed). `p` is adjusted by Holm's procedure over all pairs shown. `dominates` is the
    share of joint draws in which the first is at least as good on all objectives and better on one.
    """

    first: str
    second: str
    objective: str
    difference: Estimate | None
    checkpoints: Estimate | None
    p: float | None
    verdict: str
    scope: str
    note: str = ""
    dominates: float | None = None


def holm(p_values: list[float]) -> list[float]:
    """Holm's step-down adjustment.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(p_values, kind="stable")
    adjusted, running = np.empty(len(p_values)), 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted.tolist()


def compare(first: Point, second: Point, grid: Grid, noise: Noise) -> Comparison:
    """Compare two points on the prompts and seeds they share; the p-value is not yet adjusted.

    `noise` is the variance between seeds by size, method and objective (`variance.seed_noise`).
    """
    name = grid.objective.name
    for point in (first, second):
        reasons = [grid.excluded[cell] for cell in point.cells if cell in grid.excluded]
        if reasons or not grid.rows(point.cells):
            note = f"{point.label}: {reasons[0] if reasons else 'not measured'}"
            return Comparison(first.id, second.id, name, None, None, None, "not comparable", "none", note)
    pair = _paired(first, second, grid)
    if pair is None:
        return Comparison(first.id, second.id, name, None, None, None, "not comparable", "none", "no seed in common")
    part, n, missing = pair
    each = [noise.get((point.size, point.method, name)) for point in (first, second)]
    narrow, wide = checkpoints(part), seed_and_prompt_error(part, each[0] + each[1] if all(each) else None)
    spread = wide or narrow
    fixed = estimate(part.value, narrow, n=n, n_missing=missing)
    full = estimate(part.value, spread, n=n, n_missing=missing)
    note = "" if spread else NO_SPREAD if part.value else "equal on every item"
    verdict = "not comparable" if note == NO_SPREAD else "tied"
    return Comparison(
        first.id,
        second.id,
        name,
        full,
        fixed,
        p_value(part.value, spread),
        verdict,
        "method" if wide else "checkpoints",
        note,
    )


def decide(comparisons: list[Comparison], points: dict[str, Point], grids: dict[str, Grid]) -> list[Comparison]:
    """Adjust all p-values together and put each comparison into a word.

    "better" and "worse" need the adjusted p below 0.05 and the same sign with every missing item
    counted against the claim.
    """
    tested = [index for index, comparison in enumerate(comparisons) if comparison.p is not None]
    adjusted = dict(zip(tested, holm([comparisons[index].p for index in tested]), strict=True))
    decided = []
    for index, comparison in enumerate(comparisons):
        if index not in adjusted:
            decided.append(comparison)
            continue
        grid, p = grids[comparison.objective], adjusted[index]
        sign = 1 if grid.objective.direction == "maximize" else -1
        gain = sign * comparison.difference.value
        verdict = "tied" if p >= ALPHA or gain == 0 else ("better" if gain > 0 else "worse")
        note = comparison.note
        if verdict != "tied" and comparison.difference.n_missing:
            low, high = _if_missing(points[comparison.first], points[comparison.second], grid)
            if low <= 0 <= high:
                verdict = "tied"
                note = f"undecided: {comparison.difference.n_missing} missing items could turn it"
        decided.append(replace(comparison, p=p, verdict=verdict, note=note))
    return decided


def _shared_rows(first: Point, second: Point, grid: Grid) -> tuple[list[int], list[int]]:
    mine = {run: grid.rows([cell]) for run, cell in zip(first.seeds, first.cells, strict=True)}
    other = {run: grid.rows([cell]) for run, cell in zip(second.seeds, second.cells, strict=True)}
    shared = [run for run in mine if mine[run] and other.get(run)]
    return [mine[run][0] for run in shared], [other[run][0] for run in shared]


def _paired(first: Point, second: Point, grid: Grid) -> tuple[Components, int, int] | None:
    """Variance components of the paired difference on shared seeds and prompts, n and n_missing."""
    mine, other = _shared_rows(first, second, grid)
    if not mine:
        return None
    means = grid.mean[mine] - grid.mean[other]
    if not grid.clusters:
        return components(means, np.zeros((len(mine), 0))), 0, 0
    # Prompts that either side has no value for say nothing about the difference: they count as missing.
    both = (grid.count[mine] > 0).all(0) & (grid.count[other] > 0).all(0)
    if not both.any():
        return None
    totals, counts = (
        (grid.total[mine][:, both], grid.total[other][:, both]),
        (grid.count[mine][:, both], grid.count[other][:, both]),
    )
    each = [total.sum(1) / count.sum(1) for total, count in zip(totals, counts, strict=True)]
    influence = [
        (total - mean[:, None] * count) / count.mean(1, keepdims=True)
        for total, count, mean in zip(totals, counts, each, strict=True)
    ]
    n = int(min(counts[0].sum(), counts[1].sum()))
    missing = int(grid.missing[mine].sum() + grid.missing[other].sum())
    return components(each[0] - each[1], influence[0] - influence[1]), n, missing


def _if_missing(first: Point, second: Point, grid: Grid) -> tuple[float, float]:
    """The smallest and largest difference that the missing items allow."""
    mine, other = _shared_rows(first, second, grid)
    low, high = grid.objective.bounds

    def mean(rows, bound):
        missing = grid.missing[rows].sum(1)
        # 0 × infinity is no information lost where nothing is missing
        lost = np.where(missing > 0, missing * bound, 0.0) if np.isfinite(bound) else np.where(missing > 0, bound, 0.0)
        return ((grid.total[rows].sum(1) + lost) / (grid.count[rows].sum(1) + missing)).mean()

    return float(mean(mine, low) - mean(other, high)), float(mean(mine, high) - mean(other, low))
