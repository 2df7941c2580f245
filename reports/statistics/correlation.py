"""Correlations of the seeds' effects between objectives and along a sweep, pooled over the points of a size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.estimates import components


def objective_correlation(points: Sequence[Point], grids: Sequence[Grid]) -> np.ndarray:
    """Correlation between objectives of the deviations between a point's seeds, shape (objectives, objectives).

    The identity where no point has two seeds with all objectives.
    """
    rows = [[grid.rows(point.cells) for grid in grids] for point in points if not point.shares_checkpoint]
    whole = [each for each in rows if len(each[0]) > 1 and all(len(other) == len(each[0]) for other in each)]
    deviations = [
        np.stack([grid.mean[cells] - grid.mean[cells].mean() for grid, cells in zip(grids, each, strict=True)])
        for each in whole
    ]
    if not deviations:
        return np.eye(len(grids))
    together = np.concatenate(deviations, axis=1)
    covariance = together @ together.T
    scale = np.sqrt(np.diag(covariance))
    scale[scale == 0] = np.inf
    correlation = covariance / np.outer(scale, scale)
    np.fill_diagonal(correlation, 1.0)
    return np.asarray(correlation)


def along_sweep(points: Sequence[Point], grid: Grid, items: bool = False) -> float:
    """Correlation of the seeds' effects between the points of one method, pooled over methods, in [0, 1].

    Points are other checkpoints with other responses, so that their deviations from their own means covary by the seeds'
    effects alone. The cautious 1 where no method has two points of equal seeds.

    Parameters
    ----------
    items : bool
        Correlation of the seeds' means instead: the noise of single items, which no two points share, counts as well.
    """
    covariance = variance = pairs = rows = 0.0
    for name in dict.fromkeys(point.method for point in points):
        mine = [(point.seeds, grid.rows(point.cells)) for point in points if point.method == name]
        cells = [each for seeds, each in mine if len(each) > 1 and seeds == mine[0][0] and len(each) == len(seeds)]
        if len(cells) < 2:
            continue
        means = np.stack([grid.mean[each] for each in cells])
        deviations = means - means.mean(1, keepdims=True)
        products = deviations @ deviations.T / (means.shape[1] - 1)
        sampled = [0.0 if items else _sampled(grid, each) for each in cells]
        variance += np.trace(products) - np.sum(sampled)
        covariance += products.sum() - np.trace(products)
        rows, pairs = rows + len(cells), pairs + len(cells) * (len(cells) - 1)
    if not pairs:
        return 1.0
    covariance, variance = covariance / pairs, variance / rows
    return float(np.clip(covariance / variance, 0.0, 1.0)) if variance > 0 else 1.0


def _sampled(grid: Grid, cells: list[int]) -> float:
    """The part of the variance between the seeds' means that single items bring."""
    if not grid.clusters:
        return 0.0
    part = components(grid.mean[cells], grid.influence(cells))
    return part.rest * part.n_seeds
