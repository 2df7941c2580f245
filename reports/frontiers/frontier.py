"""Pareto frontiers through moocore, behind a guard.

moocore trusts its input: a forgotten direction gives a hypervolume of 0 and a NaN evicts valid points.
Here the objectives (with their stated directions and reference points) come with every call, NaN is an
error, and exact duplicates are all kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import moocore
import numpy as np

from harness.records import Objective


def _guard(points, objectives: Sequence[Objective]) -> tuple[np.ndarray, list[bool]]:
    points = np.ascontiguousarray(np.asarray(points, dtype=float))
    if points.ndim != 2 or points.shape[1] != len(objectives):
        raise ValueError(f"points of shape {points.shape} do not have {len(objectives)} objectives")
    if np.isnan(points).any():
        raise ValueError("a point has a NaN objective; leave unmeasured points out before asking for a frontier")
    return points, [objective.direction == "maximize" for objective in objectives]


def reference_point(objectives: Sequence[Objective]) -> np.ndarray:
    """The stated reference point; an objective without one is an error, it is never derived from data."""
    unstated = [objective.name for objective in objectives if objective.reference_point is None]
    if unstated:
        raise ValueError(f"no reference point is stated for {', '.join(unstated)}")
    return np.array([objective.reference_point for objective in objectives], dtype=float)


def non_dominated(points, objectives: Sequence[Objective]) -> np.ndarray:
    """Which points no other point dominates, shape (n,), bool. Equal points stand or fall together.

    Examples
    --------
    >>> up = [Objective("a", "A", "maximize", "x"), Objective("b", "B", "minimize", "x")]
    >>> non_dominated([[1, 1], [2, 2], [1, 2], [1, 1]], up).tolist()
    [True, True, False, True]
    """
    points, maximise = _guard(points, objectives)
    if not len(points):
        return np.zeros(0, dtype=bool)
    return moocore.is_nondominated(points, maximise=maximise, keep_weakly=True)


def hypervolume(points, objectives: Sequence[Objective]) -> float:
    """Volume dominated by the points and bounded by the stated reference point.

    Examples
    --------
    >>> square = [Objective(n, n, "maximize", "x", reference_point=0.0) for n in "ab"]
    >>> hypervolume([[1.0, 2.0], [2.0, 1.0]], square)
    3.0
    """
    points, maximise = _guard(points, objectives)
    reference = reference_point(objectives)
    return float(moocore.hypervolume(points, ref=reference, maximise=maximise)) if len(points) else 0.0


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
    return (-np.diff(across, axis=1, append=0.0) * height).sum(1)


def additive_epsilon(points, truth, objectives: Sequence[Objective]) -> float:
    """Smallest ε by which the points, each moved by ε on all objectives, cover the true frontier."""
    points, maximise = _guard(points, objectives)
    truth, _ = _guard(truth, objectives)
    return float(moocore.epsilon_additive(points, ref=truth, maximise=maximise))


def igd_plus(points, truth, objectives: Sequence[Objective]) -> float:
    """IGD+ (Ishibuchi et al. 2015): mean over the true frontier of the distance by which it is missed."""
    points, maximise = _guard(points, objectives)
    truth, _ = _guard(truth, objectives)
    return float(moocore.igd_plus(points, ref=truth, maximise=maximise))


def membership(draws: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """How often each point is non-dominated, shape (points,)."""
    _, maximise = _guard(draws.reshape(-1, draws.shape[-1]), objectives)
    draws = np.ascontiguousarray(draws)
    return np.mean([moocore.is_nondominated(points, maximise=maximise, keep_weakly=True) for points in draws], axis=0)


def attainment(draws: np.ndarray, objectives: Sequence[Objective], percentiles=(25, 50, 75)) -> dict[int, np.ndarray]:
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
    return (gain >= 0).all(-1) & (gain > 0).any(-1)


def staircase(points, objectives: Sequence[Objective]) -> np.ndarray:
    """Corners of the attained boundary of two objectives: steps, because a chord is not attained.

    Examples
    --------
    >>> up = [Objective(n, n, "maximize", "x") for n in "ab"]
    >>> staircase([[1.0, 2.0], [2.0, 1.0]], up).tolist()
    [[1.0, 2.0], [1.0, 1.0], [2.0, 1.0]]
    """
    points = np.asarray(points, dtype=float)
    kept = np.unique(points[non_dominated(points, objectives)], axis=0)
    if objectives[0].direction == "minimize":
        kept = kept[::-1]
    corners = [kept[0]]
    for before, after in pairwise(kept):
        corners += [np.array([before[0], after[1]]), after]
    return np.array(corners)
