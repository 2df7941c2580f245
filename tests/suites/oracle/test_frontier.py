"""The true frontier: non-dominated, nested in the budget, curved, in the objectives' own units."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from harness.records import Objective
from suites.oracle.frontier import Problem, frontier, frontier_points, simplex
from suites.oracle.truth import expectation, optimum


def test_frontier_is_non_dominated_ordered_and_grows_with_the_budget(problem):
    small_ball, large_ball = (frontier_points(problem, budget, 6) for budget in (0.2, 0.8))
    assert len(small_ball) == len(list(simplex(3, 6))) == 28
    for points in (small_ball, large_ball):
        better = (points[:, None] >= points[None]).all(-1) & (points[:, None] > points[None]).any(-1)
        assert not better.any()
    for weights, point in zip(simplex(3, 6), large_ball, strict=True):
        assert (small_ball @ weights).max() < point @ weights + 1e-12


def test_two_objectives_trade_off_in_a_curve(problem):
    plane = Problem(problem.mu, problem.objectives[:2], problem.raw[:2])
    points = frontier_points(plane, 0.5, 10)
    assert all(a[0] > b[0] and a[1] < b[1] for a, b in pairwise(points))
    slopes = [(b[1] - a[1]) / (a[0] - b[0]) for a, b in pairwise(points)]
    assert all(a > b for a, b in pairwise(slopes))  # concave: ever less cleanliness for the same win rate
    chord = (points[0] + points[-1]) / 2
    assert max(min(point - chord) for point in points) > 0.05  # and visibly bent


def test_truth_rows_are_in_the_objectives_own_units(problem):
    rows = frontier(problem, 0.5, steps=3)
    assert len(rows) == 3 * 10 and {row.budget for row in rows} == {0.5}
    first = {row.objective: row.value for row in rows if row.point == 0}
    best = optimum(problem.mu, problem.values, (1.0, 0.0, 0.0), 0.5)
    for objective, raw in zip(problem.objectives, problem.raw, strict=True):
        assert first[objective.name] == pytest.approx(expectation(best, raw), rel=1e-12)


def test_minimised_objectives_are_flipped(problem):
    flipped = Problem(
        problem.mu,
        (
            problem.objectives[0],
            Objective("safety", "Safety", "maximize", "probability", (0.0, 1.0)),
            problem.objectives[2],
        ),
        np.stack([problem.raw[0], 1.0 - problem.raw[1], problem.raw[2]]),
    )
    np.testing.assert_allclose(flipped.values, problem.values, atol=1e-15)
    np.testing.assert_allclose(
        problem.unscale(expectation(problem.mu, problem.values)), expectation(problem.mu, problem.raw)
    )


def test_bad_values_are_refused_by_name(problem):
    bad = problem.raw.copy()
    bad[1, 3, 7] = np.nan
    with pytest.raises(ValueError, match="'toxicity'"):
        Problem(problem.mu, problem.objectives, bad)
    endless = Objective("length", "Length", "minimize", "tokens", (0.0, math.inf))
    with pytest.raises(ValueError, match="'length' needs finite bounds"):
        Problem(problem.mu, (problem.objectives[0], endless), problem.raw[:2])
    with pytest.raises(ValueError, match="for 2 objectives"):
        Problem(problem.mu, problem.objectives[:2], problem.raw)
