"""Properties of the frontier, and moocore against brute force."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from harness.records import Objective
from reports.frontiers.frontier import (
    additive_epsilon,
    attainment,
    dominates,
    hypervolume,
    hypervolumes,
    igd_plus,
    membership,
    non_dominated,
    staircase,
)

# A coarse lattice makes ties and duplicates common.
COORDINATE = st.integers(0, 8).map(lambda step: step / 8)


def objectives(directions) -> list[Objective]:
    return [
        Objective(f"o{i}", f"O{i}", way, "x", (0.0, 1.0), reference_point=0.0 if way == "maximize" else 1.0)
        for i, way in enumerate(directions)
    ]


@st.composite
def sets(draw, dimensions=(2, 3)):
    d = draw(st.sampled_from(dimensions))
    points = draw(arrays(float, st.tuples(st.integers(1, 7), st.just(d)), elements=COORDINATE))
    return points, objectives(draw(st.lists(st.sampled_from(["maximize", "minimize"]), min_size=d, max_size=d)))


def brute_non_dominated(points, goals):
    return np.array([not any(dominates(other, point, goals) for other in points) for point in points])


def brute_hypervolume(points, goals):
    """Inclusion and exclusion over the boxes between each point and the reference point."""
    reference = np.array([goal.reference_point for goal in goals])
    gain = np.abs(np.asarray(points) - reference)
    total = 0.0
    for chosen in product([False, True], repeat=len(gain)):
        if any(chosen):
            total += (-1) ** (sum(chosen) + 1) * np.prod(gain[list(chosen)].min(0))
    return total


@given(sets())
def test_moocore_agrees_with_brute_force(case):
    points, goals = case
    assert non_dominated(points, goals).tolist() == brute_non_dominated(points, goals).tolist()
    assert hypervolume(points, goals) == pytest.approx(brute_hypervolume(points, goals), abs=1e-12)


@given(sets(), st.randoms())
def test_order_and_duplicates_do_not_matter(case, random):
    points, goals = case
    order = list(range(len(points)))
    random.shuffle(order)
    assert non_dominated(points[order], goals).tolist() == non_dominated(points, goals)[order].tolist()
    twice = np.concatenate([points, points])
    assert non_dominated(twice, goals).tolist() == 2 * non_dominated(points, goals).tolist()
    assert hypervolume(twice, goals) == pytest.approx(hypervolume(points, goals))


@given(sets())
def test_a_dominated_point_changes_nothing(case):
    points, goals = case
    worst = np.array([goal.worst for goal in goals])
    dominated = (points[0] + worst) / 2
    assume(dominates(points[0], dominated, goals))
    more = np.vstack([points, dominated])
    assert non_dominated(more, goals).tolist() == [*non_dominated(points, goals).tolist(), False]
    assert hypervolume(more, goals) == pytest.approx(hypervolume(points, goals))


@given(sets())
def test_flipping_a_direction_with_its_values_changes_nothing(case):
    points, goals = case
    flipped, mirrored = points.copy(), list(goals)
    flipped[:, 0] = 1 - flipped[:, 0]
    ways = ["minimize" if goals[0].direction == "maximize" else "maximize", *[goal.direction for goal in goals[1:]]]
    mirrored = objectives(ways)
    assert non_dominated(flipped, mirrored).tolist() == non_dominated(points, goals).tolist()
    assert hypervolume(flipped, mirrored) == pytest.approx(hypervolume(points, goals))


@given(sets(), st.data())
def test_hypervolume_grows_with_points(case, data):
    points, goals = case
    extra = data.draw(arrays(float, (1, len(goals)), elements=COORDINATE))
    assert hypervolume(np.vstack([points, extra]), goals) >= hypervolume(points, goals) - 1e-12


@given(sets(dimensions=(2,)))
def test_staircase_encloses_the_hypervolume(case):
    """The area under the steps, summed column by column, is the hypervolume."""
    points, goals = case
    corners = staircase(points, goals)
    reference = np.array([goal.reference_point for goal in goals])
    gain = np.abs(corners - reference)
    columns = np.diff(np.concatenate([[0.0], gain[::2, 0]]))
    assert (columns * gain[::2, 1]).sum() == pytest.approx(hypervolume(points, goals))
    steps = np.diff(corners, axis=0)
    assert ((steps == 0).sum(1) >= 1).all(), "a chord is not attained"


@given(sets())
def test_distance_of_a_set_from_itself_is_zero(case):
    points, goals = case
    assert additive_epsilon(points, points, goals) == pytest.approx(0.0, abs=1e-12)
    assert igd_plus(points, points, goals) == pytest.approx(0.0, abs=1e-12)


def test_epsilon_is_the_largest_shortfall():
    up = objectives(["maximize", "minimize"])
    assert additive_epsilon([[0.5, 0.5]], [[0.7, 0.4]], up) == pytest.approx(0.2)
    assert igd_plus([[0.5, 0.5]], [[0.8, 0.1]], up) == pytest.approx(0.5)


# From -1/2 to 3/2: some points lie beyond the reference point and count for nothing.
@settings(max_examples=60)
@given(st.data(), st.sampled_from([2, 3]))
def test_draws_are_measured_one_by_one(data, dimensions):
    draws = data.draw(arrays(float, (6, 4, dimensions), elements=st.integers(-4, 12).map(lambda step: step / 8)))
    goals = objectives(
        data.draw(st.lists(st.sampled_from(["maximize", "minimize"]), min_size=dimensions, max_size=dimensions))
    )
    expected = [hypervolume(points, goals) for points in draws]
    assert hypervolumes(draws, goals).tolist() == pytest.approx(expected, abs=1e-12)
    share = np.mean([non_dominated(points, goals) for points in draws], axis=0)
    assert membership(draws, goals).tolist() == pytest.approx(share.tolist())


def test_attainment_surfaces_are_nested():
    draws = np.random.default_rng(0).random((200, 3, 2)) * 0.2 + 0.4
    goals = objectives(["maximize", "minimize"])
    surfaces = attainment(draws, goals)
    volumes = [hypervolume(surfaces[level], goals) for level in (25, 50, 75)]
    assert volumes == sorted(volumes, reverse=True)
    inner = surfaces[75][0]
    reached = np.mean([any((point[0] >= inner[0]) and (point[1] <= inner[1]) for point in points) for points in draws])
    assert reached >= 0.75


def test_no_points_have_no_volume():
    assert hypervolume(np.zeros((0, 2)), objectives(["maximize", "minimize"])) == 0.0


def test_attainment_surfaces_of_single_points_are_their_order_statistics():
    """Four draws of one point on a diagonal: a share s of them attains the corner of the 4(1 − s)-th, counted from the worst."""
    goals = objectives(["maximize", "minimize"])
    draws = np.array([[[x, 1 - x]] for x in (0.8, 0.2, 0.6, 0.4)])
    surfaces = attainment(draws, goals)
    assert {level: corners.tolist() for level, corners in surfaces.items()} == {
        25: [[0.8, pytest.approx(0.2)]], 50: [[0.6, 0.4]], 75: [[0.4, 0.6]],
    }  # fmt: skip


def test_bad_input_is_refused():
    goals = objectives(["maximize", "minimize"])
    with pytest.raises(ValueError, match="NaN"):
        non_dominated([[0.5, np.nan]], goals)
    with pytest.raises(ValueError, match="2 objectives"):
        hypervolume([[0.5, 0.5, 0.5]], goals)
    unstated = [Objective("win_rate", "W", "maximize", "x")]
    with pytest.raises(ValueError, match="no reference point is stated for win_rate"):
        hypervolume([[0.5]], unstated)
