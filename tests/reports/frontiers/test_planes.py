"""True frontiers in a plane: non-dominated, in order, and the corners of the concave hull."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest

from harness.records import Objective
from reports.frontiers.planes import planes, true_points

WIN = Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user")
SAFE = Objective("safety", "Safety", "maximize", "probability", (0.0, 1.0), "designer")
TOXIC = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer")
COST = Objective("seconds", "Seconds", "minimize", "s", (0.0, float("inf")), "cost")


def truth(points, names, budget=1.0):
    rows = [
        (f"t{i}", budget, name, value)
        for i, point in enumerate(points)
        for name, value in zip(names, point, strict=True)
    ]
    return SimpleNamespace(truth=pd.DataFrame(rows, columns=["point", "budget", "objective", "value"]))


@pytest.mark.parametrize("other", [SAFE, TOXIC], ids=["maximized", "minimized"])
def test_the_hull_has_the_corners_that_no_chord_passes_and_comes_sorted(other):
    """(0.5, 0.5) lies on the chord from (0, 1) to (1, 0), (0.3, 0.6) below it, (0.4, 0.7) above it; (0, 0.5) is dominated."""
    points = [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0), (0.3, 0.6), (0.4, 0.7), (0.0, 0.5)]
    mirrored = [(x, y if other is SAFE else 1 - y) for x, y in points]
    corners = [(0.0, 1.0), (0.4, 0.7), (1.0, 0.0)]
    expected = [[x, y if other is SAFE else 1 - y] for x, y in corners]
    records = truth(mirrored, ("win_rate", other.name))
    assert true_points(records, 1.0, (WIN, other)) == pytest.approx(pd.DataFrame(expected).to_numpy())


def test_points_on_one_chord_leave_its_ends():
    records = truth([(0.25 * i, 1 - 0.25 * i) for i in (2, 0, 4, 1, 3)], ("win_rate", "safety"))
    assert true_points(records, 1.0, (WIN, SAFE)).tolist() == [[0.0, 1.0], [1.0, 0.0]]


def test_three_objectives_keep_every_non_dominated_point_in_order():
    points = [(0.5, 0.5, 0.5), (0.0, 1.0, 0.5), (1.0, 0.0, 0.5), (0.4, 0.5, 0.6)]
    records = truth(points, ("win_rate", "safety", "toxicity"))
    assert true_points(records, 1.0, (WIN, SAFE, TOXIC)).tolist() == [[0.0, 1.0, 0.5], [0.5, 0.5, 0.5], [1.0, 0.0, 0.5]]


def test_another_budget_or_an_unknown_objective_has_no_truth():
    records = truth([(0.0, 1.0)], ("win_rate", "safety"))
    assert true_points(records, 2.0, (WIN, SAFE)).shape == (0, 2)
    assert true_points(records, 1.0, (WIN, TOXIC)).shape == (0, 2)


def test_planes_have_a_users_objective_upwards_or_else_the_first_and_a_designers_or_a_cost_across():
    assert planes([WIN, SAFE, TOXIC, COST]) == [(SAFE, WIN), (TOXIC, WIN), (COST, WIN)]
    assert planes([SAFE, TOXIC, COST]) == [(TOXIC, SAFE), (COST, SAFE)]
    assert planes([WIN]) == planes([SAFE]) == planes([]) == []
