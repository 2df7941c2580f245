"""The true Pareto frontier of a behaviour policy and objectives, one for every KL budget."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from harness.records import Objective, TruthPoint
from suites.oracle.truth import Array, expectation, optimum, win_matrix


@dataclass(frozen=True, eq=False)
class Problem:
    """A behaviour policy and the objectives that policies are judged by.

    Parameters
    ----------
    mu : ndarray, shape (P, Y)
    objectives : tuple of K Objective
        With finite bounds. The win rate against `mu` comes first, by convention.
    raw : ndarray, shape (K, P, Y)
        The objectives' values in their own units. Those to be minimised are flipped in `values`.

    Examples
    --------
    >>> import numpy as np
    >>> win = Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user")
    >>> toxicity = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))
    >>> mu, reward = np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])
    >>> problem = Problem.build(mu, reward, win, {toxicity: np.array([[0.1, 0.9]])})
    >>> problem.values[1].round(3).tolist()
    [[0.9, 0.1]]
    """

    mu: Array
    objectives: tuple[Objective, ...]
    raw: Array

    def __post_init__(self) -> None:
        if self.raw.shape != (len(self.objectives), *self.mu.shape):
            expected = (len(self.objectives), *self.mu.shape)
            raise ValueError(
                f"values must have shape {expected} for {len(self.objectives)} objectives, not {self.raw.shape}"
            )
        if not np.all(self.mu > 0):
            raise ValueError("the behaviour policy must give every response a positive probability")
        for objective, raw in zip(self.objectives, self.raw, strict=True):
            low, high = objective.bounds
            if not (math.isfinite(low) and math.isfinite(high)):
                raise ValueError(f"objective {objective.name!r} needs finite bounds, not {objective.bounds}")
            if not np.all((raw >= low - 1e-9) & (raw <= high + 1e-9)):
                raise ValueError(f"objective {objective.name!r}: values outside {objective.bounds}, or not numbers")

    @classmethod
    def build(cls, mu: Array, reward: Array, win_rate: Objective, designers: dict[Objective, Array]) -> Problem:
        """From the preference reward :math:`r_p` and the designer objectives' values, each (P, Y)."""
        return cls(mu, (win_rate, *designers), np.stack([win_matrix(mu, reward), *designers.values()]))

    def at(self, rows: Array) -> Problem:
        """The same on some of the prompts."""
        return Problem(self.mu[rows], self.objectives, self.raw[:, rows])

    @cached_property
    def values(self) -> Array:
        """Values scaled to [0, 1] by the objectives' bounds, 1 being the good end; shape (K, P, Y)."""
        worst = np.array([objective.worst for objective in self.objectives])[:, None, None]
        best = np.array([objective.best for objective in self.objectives])[:, None, None]
        scaled: Array = (self.raw - worst) / (best - worst)
        return scaled

    def unscale(self, points: Array) -> Array:
        """From [0, 1] back to the objectives' own units; the last axis is the objectives'."""
        worst = np.array([objective.worst for objective in self.objectives])
        best = np.array([objective.best for objective in self.objectives])
        raw: Array = worst + points * (best - worst)
        return raw


def simplex(n_objectives: int, steps: int) -> Iterator[tuple[float, ...]]:
    """All weights that are multiples of ``1/steps`` and sum to 1, from the first objective's corner on.

    Examples
    --------
    >>> list(simplex(2, 2))
    [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)]
    """

    def compositions(total: int, parts: int) -> Iterator[tuple[int, ...]]:
        if parts == 1:
            yield (total,)
            return
        for first in range(total, -1, -1):
            for rest in compositions(total - first, parts - 1):
                yield first, *rest

    return (tuple(part / steps for part in parts) for parts in compositions(steps, n_objectives))


def frontier_points(problem: Problem, budget: float, steps: int) -> Array:
    """Scaled values of the optima for all weights of the simplex grid, non-dominated ones only; shape (n, K)."""
    import moocore

    optima = (
        optimum(problem.mu, problem.values, weights, budget) for weights in simplex(len(problem.objectives), steps)
    )
    points = np.array([expectation(policy, problem.values) for policy in optima])
    optimal: Array = points[moocore.is_nondominated(points, maximise=True)]
    return optimal


def frontier(problem: Problem, budget: float, steps: int = 20) -> list[TruthPoint]:
    """The true frontier within a KL budget, every point with all its objectives in their own units.

    The grid's edges have weight on two objectives only, so the frontier of the win rate against any one
    designer objective is there too: it is the non-dominated part of the points' projection.

    Parameters
    ----------
    problem : Problem
    budget : float
        KL from `mu`, nats, mean over prompts.
    steps : int
        Weights are multiples of 1/steps: steps + 1 points for two objectives, about steps²/2 for three.
    """
    return [
        TruthPoint(budget, number, objective.name, float(value))
        for number, point in enumerate(problem.unscale(frontier_points(problem, budget, steps)))
        for objective, value in zip(problem.objectives, point, strict=True)
    ]
