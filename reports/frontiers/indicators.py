"""Indicators that the multi-objective literature reports beside the hypervolume: mean inner product, sparsity, spacing.

All three take gains: objectives oriented so that more is better, counted from the stated reference point. They work on
all joint draws at once, shape (draws, points, objectives).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from harness.records import Objective
from reports.frontiers.frontier import reference_point

DIVISIONS = {2: 10}
"""Steps of the grid of weights by number of objectives; five for three objectives and more."""
OTHER_DIVISIONS = 5


def weight_grid(objectives: int) -> np.ndarray:
    """Weights on the simplex that the mean inner product averages over, shape (weights, objectives).

    All multiples of 1/10 for two objectives (11 weights), of 1/5 for more (21 for three).

    Examples
    --------
    >>> weight_grid(2)[:3].tolist(), len(weight_grid(3))
    ([[0.0, 1.0], [0.1, 0.9], [0.2, 0.8]], 21)
    """
    steps = DIVISIONS.get(objectives, OTHER_DIVISIONS)
    bars = np.array(list(combinations(range(steps + objectives - 1), objectives - 1)), dtype=float)
    edges = np.concatenate(
        [np.full((len(bars), 1), -1.0), bars, np.full((len(bars), 1), steps + objectives - 1.0)], axis=1
    )
    return np.asarray((np.diff(edges, axis=1) - 1) / steps)


def gains(draws: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """Objectives oriented so that more is better, from the reference point."""
    sign = np.array([1.0 if objective.direction == "maximize" else -1.0 for objective in objectives])
    return np.asarray((draws - reference_point(objectives)) * sign)


def mean_inner_product(gain: np.ndarray) -> np.ndarray:
    r"""Mean over the grid of weights of the largest inner product of weight and gain, for each draw.

    :math:`\frac1{|\Lambda|} \sum_{\lambda \in \Lambda} \max_p \lambda^\top g_p`, the mean inner product (Zhong et al. 2024, Panacea)
    with the best point for each weight, which is the expected utility of Zintgraf et al. 2015. Larger is better.

    Examples
    --------
    >>> mean_inner_product(np.array([[[1.0, 0.0], [0.0, 1.0]]])).round(3).tolist()
    [0.773]
    """
    weights = weight_grid(gain.shape[2])
    return np.asarray((gain @ weights.T).max(1).mean(1))


def dominated(gain: np.ndarray) -> np.ndarray:
    """Which points of each draw another one dominates, shape (draws, points)."""
    at_least = (gain[:, :, None] >= gain[:, None]).all(-1)
    better = (gain[:, :, None] > gain[:, None]).any(-1)
    return np.asarray((at_least & better).max(1))


def sparsity(gain: np.ndarray) -> np.ndarray:
    r"""Mean squared distance between neighbours on the non-dominated set, summed over objectives, for each draw.

    :math:`\frac1{N-1} \sum_j \sum_i (\tilde S_j(i) - \tilde S_j(i+1))^2` with :math:`\tilde S_j` the N non-dominated points' values of
    objective j in order (Xu et al. 2020, PGMORL). Smaller is denser; 0 for a single point.

    Examples
    --------
    >>> sparsity(np.array([[[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]])).tolist()
    [0.5]
    """
    outside = dominated(gain)
    ordered = np.sort(np.where(outside[:, :, None], np.inf, gain), axis=1)
    with np.errstate(invalid="ignore"):
        steps = np.diff(ordered, axis=1)
    squares = np.where(np.isfinite(steps), steps, 0.0) ** 2
    return np.asarray(squares.sum((1, 2)) / np.maximum((~outside).sum(1) - 1, 1))


def spacing(gain: np.ndarray) -> np.ndarray:
    r"""Unevenness of the non-dominated set, for each draw (Schott 1995).

    :math:`\sqrt{\frac1{N-1} \sum_i (\bar d - d_i)^2}` with :math:`d_i` the L1 distance of point i to its nearest neighbour on the set;
    0 where all are equally far, and for fewer than two points.

    Examples
    --------
    >>> spacing(np.array([[[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]]])).tolist()
    [0.0]
    """
    inside = ~dominated(gain)
    distance = np.abs(gain[:, :, None] - gain[:, None]).sum(-1)
    apart = inside[:, :, None] & inside[:, None] & ~np.eye(gain.shape[1], dtype=bool)
    nearest = np.where(apart, distance, np.inf).min(2) if gain.shape[1] > 1 else np.full(gain.shape[:2], np.inf)
    finite = np.isfinite(nearest)
    count = np.maximum(finite.sum(1), 1)
    nearest = np.where(finite, nearest, 0.0)
    mean = nearest.sum(1) / count
    squares = np.where(finite, (nearest - mean[:, None]) ** 2, 0.0).sum(1)
    return np.asarray(np.sqrt(squares / np.maximum(count - 1, 1)))
