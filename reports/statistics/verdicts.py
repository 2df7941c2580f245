"""Comparisons of points in words: better, worse, not separable or not comparable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.estimates import (
    Components,
    Estimate,
    Spread,
    checkpoints,
    components,
    estimate,
    p_value,
    seed_and_prompt_error,
)
from reports.statistics.seed_noise import Noise
from reports.statistics.simultaneous import adjusted_p, critical

ALPHA = 0.05
BETTER, WORSE, NOT_SEPARABLE, NOT_COMPARABLE = "better", "worse", "not separable", "not comparable"
NO_SPREAD = "no uncertainty can be estimated"


@dataclass(frozen=True)
class Comparison:
    """Whether the first point beats the second on one objective.

    `difference` is first − second in the objective's unit, `checkpoints` the same with the seeds fixed. `scope` says what
    `difference` is about: "method" (seeds included) or "checkpoints". Once decided, the interval of `difference` and `p` hold
    for all pairs of their family together, and the verdict is the interval's: "better" and "worse" where it excludes 0.
    `settings` are the settings that each seed of either side was measured at, where the other seeds chose several; the
    difference is then that of their means. `dominates` is the share of joint draws in which the first is at least as good on all objectives and better on one.
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
    spread: Spread | None = None
    settings: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())


def reach(grid: Grid) -> tuple[float, float]:
    """The smallest and the largest difference of two means of an objective: its range, either way."""
    low, high = grid.objective.bounds
    return low - high, high - low


def compare(first: Point, second: Point, grid: Grid, noise: Noise) -> Comparison:
    """Compare two points on the prompts and seeds they share, as if no other pair were looked at.

    `noise` is the variance between seeds by point and objective (`seed_noise.seed_noise`).
    """
    name = grid.objective.name
    for point in (first, second):
        reasons = [grid.excluded[cell] for cell in point.cells if cell in grid.excluded]
        if reasons or not grid.rows(point.cells):
            note = f"{point.label}: {reasons[0] if reasons else 'not measured'}"
            return Comparison(first.id, second.id, name, None, None, None, NOT_COMPARABLE, "none", note)
    pair = _paired(first, second, grid)
    if pair is None:
        return Comparison(first.id, second.id, name, None, None, None, NOT_COMPARABLE, "none", "no seed in common")
    part, n, missing = pair
    each = [noise.get((point.id, name)) for point in (first, second)]
    both = each[0] + each[1] if each[0] is not None and each[1] is not None else None
    narrow, wide = checkpoints(part), seed_and_prompt_error(part, both)
    reason = both.reason if both is not None and part.n_seeds > 1 else ""
    spread = wide or narrow
    possible = reach(grid)
    verdict, note = NOT_SEPARABLE, ""
    if reason:
        verdict, note = NOT_COMPARABLE, reason
    elif spread is None:
        verdict, note = (NOT_COMPARABLE, NO_SPREAD) if part.value else (NOT_SEPARABLE, "equal on every item")
    return Comparison(
        first.id,
        second.id,
        name,
        _within(estimate(part.value, spread, n=n, n_missing=missing), possible),
        _within(estimate(part.value, narrow, n=n, n_missing=missing), possible),
        None if reason else p_value(part.value, spread),
        verdict,
        "method" if wide is not None else "checkpoints",
        note,
        spread=None if reason else spread,
    )


def _within(estimate: Estimate, bounds: tuple[float, float]) -> Estimate:
    """An estimate whose interval does not leave what is possible."""
    if estimate.low is None or estimate.high is None:
        return estimate
    return replace(estimate, low=max(estimate.low, bounds[0]), high=min(estimate.high, bounds[1]))


def simultaneous(value: Estimate, spread: Spread, k: int, alpha: float, bounds: tuple[float, float]) -> Estimate:
    """A difference with the interval that holds for all pairs of k means at once."""
    half = critical(alpha, k, spread.df) * spread.se
    widened = replace(value, low=value.value - half, high=value.value + half, level=1 - alpha, method="simultaneous t")
    return _within(widened, bounds)


def word(difference: Estimate, sign: int) -> str:
    """The verdict that an interval gives; `sign` is 1 where more is better.

    Examples
    --------
    >>> word(Estimate(0.2, 0.05, 0.1, 0.3, 0.95, 10, 0, "t"), 1), word(Estimate(0.2, 0.05, 0.0, 0.4, 0.95, 10, 0, "t"), 1)
    ('better', 'not separable')
    """
    if difference.low is None or difference.high is None or difference.low <= 0 <= difference.high:
        return NOT_SEPARABLE
    return BETTER if sign * difference.value > 0 else WORSE


def decide(
    comparisons: Sequence[Comparison],
    points: Mapping[str, Point],
    grids: Mapping[str, Grid],
    alpha: float = ALPHA,
    among: int | None = None,
) -> list[Comparison]:
    """Put each comparison into a word by an interval that holds for the whole family.

    A family is what is compared at one model size: all pairs of its points on all objectives. The objectives share `alpha`
    evenly, and the pairs of one objective are covered by the studentized range. With missing items the interval is that of
    the bounds: every missing item counted against the claim, with the error of the bounds.

    Parameters
    ----------
    among : int, optional
        Number of points that the pairs were taken from; by default those in `comparisons`.
    """
    families: dict[str, set[str]] = {}
    for c in comparisons:
        families.setdefault(points[c.first].size, set()).update((c.first, c.second))
    objectives = {size: {c.objective for c in comparisons if points[c.first].size == size} for size in families}
    decided = []
    for c in comparisons:
        size = points[c.first].size
        k, shares = among or len(families[size]), len(objectives[size])
        decided.append(_decided(c, points, grids[c.objective], k, alpha / shares, shares))
    return decided


def _decided(c: Comparison, points: Mapping[str, Point], grid: Grid, k: int, alpha: float, shares: int) -> Comparison:
    if c.spread is None or c.difference is None:
        return c
    sign = 1 if grid.objective.direction == "maximize" else -1
    difference = simultaneous(c.difference, c.spread, k, alpha, reach(grid))
    p = min(1.0, shares * adjusted_p(c.difference.value / c.spread.se, k, c.spread.df))
    verdict, note = word(difference, sign), c.note
    if difference.n_missing:
        seen, (difference, distance) = (
            verdict,
            _if_missing(c, difference, points, grid, critical(alpha, k, c.spread.df)),
        )
        verdict, p = word(difference, sign), min(1.0, shares * adjusted_p(distance, k, c.spread.df))
        if verdict != seen:
            note = f"undecided: {difference.n_missing} missing items could turn it"
    return replace(c, difference=difference, p=p, verdict=verdict, note=note)


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
    if not grid.clusters:
        return components(grid.mean[mine] - grid.mean[other], np.zeros((len(mine), 0))), 0, 0
    # Prompts that either side has no value for say nothing about the difference: they count as missing.
    both = (grid.count[mine] > 0).all(0) & (grid.count[other] > 0).all(0)
    if not both.any():
        return None
    totals = grid.total[mine][:, both], grid.total[other][:, both]
    counts = grid.count[mine][:, both], grid.count[other][:, both]
    n = int(min(counts[0].sum(), counts[1].sum()))
    missing = int(grid.missing[mine].sum() + grid.missing[other].sum())
    return _difference(totals, counts), n, missing


def _difference(totals: tuple[np.ndarray, np.ndarray], counts: tuple[np.ndarray, np.ndarray]) -> Components:
    """Variance components of the difference of two ratios of sums, each of shape (seeds, prompts)."""
    each = [total.sum(1) / count.sum(1) for total, count in zip(totals, counts, strict=True)]
    influence = [
        (total - mean[:, None] * count) / count.mean(1, keepdims=True)
        for total, count, mean in zip(totals, counts, each, strict=True)
    ]
    return components(each[0] - each[1], influence[0] - influence[1])


def _if_missing(
    c: Comparison, difference: Estimate, points: Mapping[str, Point], grid: Grid, factor: float
) -> tuple[Estimate, float]:
    """The interval from the smallest difference that the missing items allow to the largest, each with its error.

    The second number is by how many errors the nearer end is from 0; 0 where 0 lies between the ends. The error is the
    difference's own or that of the filled items, whichever is larger.
    """
    mine, other = _shared_rows(points[c.first], points[c.second], grid)
    low, high = grid.objective.bounds
    if not (np.isfinite(low) and np.isfinite(high)) or c.spread is None:
        return replace(difference, low=-np.inf, high=np.inf, method="not bounded: items are missing"), 0.0

    def filled(rows: list[int], value: float) -> tuple[np.ndarray, np.ndarray]:
        return grid.total[rows] + value * grid.missing[rows], grid.count[rows] + grid.missing[rows]

    ends, distance = [], 0.0
    for first, second, sign in ((low, high, -1), (high, low, 1)):
        (total, count), (other_total, other_count) = filled(mine, first), filled(other, second)
        part = _difference((total, other_total), (count, other_count))
        own = checkpoints(part)
        error = max(c.spread.se, own.se if own else 0.0)
        ends.append(part.value + sign * factor * error)
        distance = max(distance, -sign * part.value / error)
    bounded = replace(difference, low=ends[0], high=ends[1], method="bounds with simultaneous t")
    return _within(bounded, reach(grid)), distance
