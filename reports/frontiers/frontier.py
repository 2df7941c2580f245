"""Pareto frontiers through moocore, behind a guard.

moocore trusts its input: a forgotten direction gives a hypervolume of 0 and a NaN evicts valid points.
Here the objectives (with their stated directions and reference points) come with every call, NaN is an
error, and exact duplicates are all kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import comb

import moocore
import numpy as np
from numpy.typing import ArrayLike

from harness.records import Objective


def _guard(points: ArrayLike, objectives: Sequence[Objective]) -> tuple[np.ndarray, list[bool]]:
    values = np.ascontiguousarray(np.asarray(points, dtype=float))
    if values.ndim != 2 or values.shape[1] != len(objectives):
        raise ValueError(f"points of shape {values.shape} do not have {len(objectives)} objectives")
    if np.isnan(values).any():
        raise ValueError("a point has a NaN objective; leave unmeasured points out before asking for a frontier")
    return values, [objective.direction == "maximize" for objective in objectives]


def reference_point(objectives: Sequence[Objective]) -> np.ndarray:
    """The stated reference point; an objective without one is an error, it is never derived from data."""
    unstated = [objective.name for objective in objectives if objective.reference_point is None]
    if unstated:
        raise ValueError(f"no reference point is stated for {', '.join(unstated)}")
    return np.array([objective.reference_point for objective in objectives], dtype=float)


def non_dominated(points: ArrayLike, objectives: Sequence[Objective]) -> np.ndarray:
    """Which points no other point dominates, shape (n,), bool. Equal points stand or fall together.

    Examples
    --------
    >>> up = [Objective("a", "A", "maximize", "x"), Objective("b", "B", "minimize", "x")]
    >>> non_dominated([[1, 1], [2, 2], [1, 2], [1, 1]], up).tolist()
    [True, True, False, True]
    """
    values, maximise = _guard(points, objectives)
    if not len(values):
        return np.zeros(0, dtype=bool)
    return np.asarray(moocore.is_nondominated(values, maximise=maximise, keep_weakly=True))


def hypervolume(points: ArrayLike, objectives: Sequence[Objective]) -> float:
    """Volume dominated by the points and bounded by the stated reference point.

    Examples
    --------
    >>> square = [Objective(n, n, "maximize", "x", reference_point=0.0) for n in "ab"]
    >>> hypervolume([[1.0, 2.0], [2.0, 1.0]], square)
    3.0
    """
    values, maximise = _guard(points, objectives)
    reference = reference_point(objectives)
    return float(moocore.hypervolume(values, ref=reference, maximise=maximise)) if len(values) else 0.0


def hypervolumes(draws: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """`hypervolume` of each draw; draws have shape (draws, points, objectives)."""
    _, maximise = _guard(draws.reshape(-1, draws.shape[-1]), objectives)
    reference = reference_point(objectives)
    if len(objectives) == 2:
        return _areas(draws, reference, maximise)
    measure = moocore.Hypervolume(ref=reference, maximise=maximise)
    return np.array([measure(points) for points in np.ascontiguousarray(draws)])


def _areas(draws: np.ndarray, reference: np.ndarray, maximise: list[bool]) -> np.ndarray:
    """Areas under the staircases of all draws at once: columns from the widest point on, each as high as any before it.

    One call of moocore per draw takes fifty times as long.
    """
    gain = np.maximum((draws - reference) * np.where(maximise, 1.0, -1.0), 0.0)
    order = np.argsort(-gain[:, :, 0], axis=1, kind="stable")
    across, up = (np.take_along_axis(gain[:, :, i], order, axis=1) for i in (0, 1))
    height = np.maximum.accumulate(up, axis=1)
    return np.asarray((-np.diff(across, axis=1, append=0.0) * height).sum(1))


MOST_CELLS = 20_000
"""Boxes of one draw up to which `expected_hypervolumes` is exact."""


def expected_hypervolumes(draws: np.ndarray, k: int, objectives: Sequence[Objective]) -> np.ndarray:
    r"""Expected hypervolume of k of the n points drawn at random without replacement, for each draw.

    The points' coordinates cut the space into boxes. A box that c points cover is missed by all k drawn with probability
    :math:`\binom{n-c}{k}/\binom{n}{k}`, so that the expectation is :math:`\sum_{box} vol\,[1 - \binom{n-c}{k}/\binom{n}{k}]`.
    With k = n it is the hypervolume. At equal k no set is larger for having more points to take a maximum over.

    Parameters
    ----------
    draws : ndarray, shape (draws, points, objectives)
    k : int
        From 1 to n.

    Raises
    ------
    ValueError
        Where the boxes are too many to count (n to the power of the number of objectives above 20,000).

    Examples
    --------
    >>> square = [Objective(n, n, "maximize", "x", reference_point=0.0) for n in "ab"]
    >>> expected_hypervolumes(np.array([[[1.0, 2.0], [2.0, 1.0]]]), 1, square).tolist()
    [2.0]
    """
    n, dimensions = draws.shape[1:]
    if k >= n:
        return hypervolumes(draws, objectives)
    if n**dimensions > MOST_CELLS:
        raise ValueError(f"{n} points with {dimensions} objectives make more than {MOST_CELLS} boxes")
    _, maximise = _guard(draws.reshape(-1, dimensions), objectives)
    gain = np.maximum((draws - reference_point(objectives)) * np.where(maximise, 1.0, -1.0), 0.0)
    missed = np.array([comb(n - c, k) for c in range(n + 1)]) / comb(n, k)
    size = max(1, MOST_CELLS * 100 // n**dimensions)
    return np.concatenate([_boxes(part, 1 - missed) for part in np.array_split(gain, -(-len(gain) // size))])


def _boxes(gain: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Sum of the boxes' volumes, each weighted by the number of points that cover it."""
    axes = "ijkl"[: gain.shape[2]]
    order = np.sort(gain, axis=1)
    widths = np.diff(order, axis=1, prepend=0.0)
    covers = [(gain[:, :, None, d] >= order[:, None, :, d]).astype(np.float32) for d in range(gain.shape[2])]
    points = ",".join(f"bp{axis}" for axis in axes)
    count = np.rint(np.einsum(f"{points}->b{axes}", *covers, optimize=True)).astype(int)
    sides = ",".join(f"b{axis}" for axis in axes)
    return np.asarray(
        np.einsum(f"b{axes},{sides}->b", weight[count], *(widths[:, :, d] for d in range(gain.shape[2])), optimize=True)
    )


def additive_epsilon(points: ArrayLike, truth: ArrayLike, objectives: Sequence[Objective]) -> float:
    """Smallest ε by which the points, each moved by ε on all objectives, cover the true frontier."""
    mine, maximise = _guard(points, objectives)
    other, _ = _guard(truth, objectives)
    return float(moocore.epsilon_additive(mine, ref=other, maximise=maximise))


def igd_plus(points: ArrayLike, truth: ArrayLike, objectives: Sequence[Objective]) -> float:
    """IGD+ (Ishibuchi et al. 2015): mean over the true frontier of the distance by which it is missed."""
    mine, maximise = _guard(points, objectives)
    other, _ = _guard(truth, objectives)
    return float(moocore.igd_plus(mine, ref=other, maximise=maximise))


def membership(draws: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """How often each point is non-dominated, shape (points,)."""
    _, maximise = _guard(draws.reshape(-1, draws.shape[-1]), objectives)
    draws = np.ascontiguousarray(draws)
    inside = [moocore.is_nondominated(points, maximise=maximise, keep_weakly=True) for points in draws]
    return np.asarray(np.mean(inside, axis=0))


def attainment(
    draws: np.ndarray, objectives: Sequence[Objective], percentiles: Sequence[int] = (25, 50, 75)
) -> dict[int, np.ndarray]:
    """Corners of the surfaces that a share of the draws attains, for two objectives (Fonseca et al. 2011).

    The 25 % surface is reached by a quarter of the draws, so it is the far one.
    """
    flat, maximise = _guard(draws.reshape(-1, draws.shape[-1]), objectives)
    sign = np.where(maximise, -1.0, 1.0)
    sets = np.repeat(np.arange(len(draws)), draws.shape[1])
    surfaces = moocore.eaf(flat * sign, sets, percentiles=list(percentiles))
    corners, level = surfaces[:, :-1] * sign, surfaces[:, -1]
    return {percentile: corners[level == percentile] for percentile in percentiles}


def dominates(first: np.ndarray, second: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """Whether `first` dominates `second`, elementwise over leading axes; the last axis is objectives."""
    sign = np.array([1.0 if objective.direction == "maximize" else -1.0 for objective in objectives])
    gain = (first - second) * sign
    return np.asarray((gain >= 0).all(-1) & (gain > 0).any(-1))


def staircase(points: ArrayLike, objectives: Sequence[Objective]) -> np.ndarray:
    """Corners of the attained boundary of two objectives: steps, because a chord is not attained.

    Examples
    --------
    >>> up = [Objective(n, n, "maximize", "x") for n in "ab"]
    >>> staircase([[1.0, 2.0], [2.0, 1.0]], up).tolist()
    [[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]]
    """
    values = np.asarray(points, dtype=float)
    frontier = np.unique(values[non_dominated(values, objectives)], axis=0)
    if objectives[0].direction == "minimize":
        frontier = frontier[::-1]
    corners = [frontier[0]]
    for before, after in pairwise(frontier):
        corners += [np.array([before[0], after[1]]), after]
    return np.array(corners)
