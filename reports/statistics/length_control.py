"""Length-controlled win rate with an interval that includes the uncertainty of the fit.

A judge that likes long answers rewards length as such. The minimal length-controlled win rate (Dubois et
al. 2024, https://arxiv.org/abs/2404.04475, without the terms that compare many models) fits

    P(win) = σ(θ + φ·tanh(Δ/s)),    Δ = length of the policy's answer − length of the reference's,

with s the standard deviation of Δ, and reports σ(θ): the win rate had the lengths been equal. The
assumption is that length acts through this one smooth term alone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from reports.grids import Point, Study
from reports.statistics.estimates import Components, Estimate, Spread, checkpoints, estimate, seed_and_prompt_error
from reports.statistics.resampling import weights
from reports.statistics.seed_noise import figure_noise

if TYPE_CHECKING:
    import pandas as pd

OBJECTIVE = "win_rate"
STEPS = 30
DRAWS = 500
"""Refits per cell: enough to know a standard error to 3 %."""
RIDGE = 1e-3
"""Penalty on θ² and φ² in units of one item: keeps a fit finite when every item is won or lost."""


@dataclass(frozen=True)
class LengthControlled:
    """One point's raw and length-controlled win rate, with what the control rests on.

    `slope` is φ averaged over seeds; `mean_length` and `reference_length` are in the unit of the items.
    """

    point: Point
    raw: Estimate
    checkpoints: Estimate
    method: Estimate | None
    slope: float
    mean_length: float
    reference_length: float

    @property
    def best(self) -> Estimate:
        return self.method or self.checkpoints


def fit(
    wins: np.ndarray,
    lengths: np.ndarray,
    weight: np.ndarray,
    start: Sequence[float] | np.ndarray = (0.0, 0.0),
    tolerance: float = 1e-8,
) -> np.ndarray:
    """θ and φ of weighted logistic regressions, one for each row of weights.

    Parameters
    ----------
    wins : ndarray, shape (n,)
        Outcomes in [0, 1]; a tie is 0.5.
    lengths : ndarray, shape (n,)
        tanh of the scaled length difference.
    weight : ndarray, shape (draws, n)
        Item weights; each row sums to n.
    start, tolerance
        Where Newton's method begins and how small its last step is.

    Returns
    -------
    ndarray, shape (draws, 2)

    Examples
    --------
    Without any length difference σ(θ) is the win rate.

    >>> theta = fit(np.array([1.0, 1, 1, 0]), np.zeros(4), np.ones((1, 4)))[0, 0]
    >>> round(float(expit(theta)), 3)
    0.75
    """
    design = np.stack([np.ones_like(lengths), lengths], axis=1)
    products = np.stack([np.ones_like(lengths), lengths, lengths, lengths**2], axis=1)
    coefficients = np.tile(np.asarray(start, dtype=float), (len(weight), 1))
    for _ in range(STEPS):
        p = expit(coefficients @ design.T)
        gradient = (weight * (wins - p)) @ design - RIDGE * coefficients
        hessian = ((weight * p * (1 - p)) @ products).reshape(-1, 2, 2) + RIDGE * np.eye(2)
        step = np.linalg.solve(hessian, gradient[..., None])[..., 0]
        # Newton's steps can overshoot where nearly everything is won; a bounded step cannot.
        coefficients += np.clip(step, -2.0, 2.0)
        if np.abs(step).max() < tolerance:
            break
    return coefficients


def length_controlled(
    study: Study, raw: dict[str, Estimate], draws: int = DRAWS, seed: int = 0
) -> list[LengthControlled]:
    """Length-controlled win rates of all points whose items tell both lengths; prompts redrawn, model refitted.

    Items tell their lengths as `len_policy` and `len_reference` in `detail`.
    """
    items = study.records.items
    items = items[(items.objective == OBJECTIVE) & items.value.notna()]
    items = items[items.detail.isin([text for text in items.detail.unique() if '"len_policy"' in text])]
    if items.empty:
        return []
    by_cell = dict(list(items.groupby("cell")))
    clusters = sorted(items.cluster.unique())
    share = weights("prompt", clusters, draws, seed)
    place = {cluster: i for i, cluster in enumerate(clusters)}
    points = [point for point in study.select() if set(point.cells) <= set(by_cell) and point.id in raw]
    fitted = {point.id: [_cell(by_cell[cell], share, place) for cell in point.cells] for point in points}
    parts = {point.id: _components(fitted[point.id], len(clusters)) for point in points}
    results = []
    for size in study.sizes:
        here = [point for point in points if point.size == size]
        noise = figure_noise(
            {point.id: parts[point.id] for point in here}, [point.id for point in here if point.shares_checkpoint]
        )
        for point in here:
            part, cells = parts[point.id], fitted[point.id]
            spread = seed_and_prompt_error(part, noise.get(point.id))
            n = sum(len(by_cell[cell]) for cell in point.cells)

            def rate(spread: Spread | None, value: float = part.value, n: int = n) -> Estimate:
                return estimate(value, spread, (0.0, 1.0), n, n_clusters=len(clusters), what=", refitted")

            results.append(
                LengthControlled(
                    point=point,
                    raw=raw[point.id],
                    checkpoints=rate(checkpoints(part)),
                    method=rate(spread) if spread else None,
                    slope=float(np.mean([cell.slope for cell in cells])),
                    mean_length=float(np.mean([cell.length for cell in cells])),
                    reference_length=float(np.mean([cell.reference for cell in cells])),
                )
            )
    return results


@dataclass(frozen=True)
class _Cell:
    value: float
    draws: np.ndarray
    slope: float
    length: float
    reference: float


def _cell(items: pd.DataFrame, share: np.ndarray, place: dict[str, int]) -> _Cell:
    details = [json.loads(detail) for detail in items.detail]
    policy = np.array([detail["len_policy"] for detail in details], dtype=float)
    reference = np.array([detail["len_reference"] for detail in details], dtype=float)
    difference = policy - reference
    weight = share[:, [place[cluster] for cluster in items.cluster]]
    weight = weight / weight.sum(1, keepdims=True) * len(items)
    value, draws, slope = refit(items.value.to_numpy(float), difference, difference.std() or 1.0, weight)
    return _Cell(value, draws, slope, float(policy.mean()), float(reference.mean()))


def refit(
    wins: np.ndarray, difference: np.ndarray, scale: float, weight: np.ndarray
) -> tuple[float, np.ndarray, float]:
    """σ(θ), what it is under each row of weights, and φ."""
    lengths = np.tanh(difference / scale)
    best = fit(wins, lengths, np.ones((1, len(wins))))[0]
    draws = fit(wins, lengths, weight, start=best, tolerance=1e-4)
    return float(expit(best[0])), expit(draws[:, 0]), float(best[1])


def _components(cells: list[_Cell], n: int) -> Components:
    """Variance components from refitted draws: of the mean over seeds, and of single cells."""
    values, draws = np.array([cell.value for cell in cells]), np.stack([cell.draws for cell in cells])
    seeds = len(cells)
    # Bayesian-bootstrap variances are (n − 1)/(n + 1) of the unbiased ones.
    unbiased = (n + 1) / (n - 1) if n > 1 else np.nan
    prompts = float(draws.mean(0).var(ddof=1) * unbiased)
    single = float(draws.var(axis=1, ddof=1).mean() * unbiased)
    return Components(
        value=float(values.mean()),
        prompts=prompts if n > 1 else None,
        seeds=float(values.var(ddof=1) / seeds) if seeds > 1 else None,
        rest=max(0.0, (single - prompts) / (seeds - 1)) if seeds > 1 else 0.0,
        n_prompts=n,
        n_seeds=seeds,
    )
