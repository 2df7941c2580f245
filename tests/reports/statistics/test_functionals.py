"""Functions of all means: linear ones exactly, hypervolumes as the bootstrap, equal numbers of settings."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import Objective
from reports.frontiers import frontier
from reports.statistics.estimates import checkpoints, seed_and_prompt_error
from reports.statistics.functionals import frame, functional
from reports.statistics.resampling import replicate
from reports.statistics.seed_noise import seed_noise
from reports.statistics.variance import variance_parts
from tests.performance.worlds import OBJECTIVES, spread_world


@pytest.fixture(scope="module")
def drawn():
    world_study, _ = spread_world(3, 2, seeds=3, seed_sd=0.04).study(np.random.default_rng(3))
    parts = variance_parts(world_study.points, world_study.grids)
    noise = seed_noise(world_study.points, world_study.grids, parts)
    grids = list(world_study.grids.values())
    draws = replicate(world_study.points, grids, parts, noise, 600)
    return world_study, parts, noise, draws, frame(world_study.points, grids, noise)


def test_one_mean_is_its_own_functional(drawn):
    """A linear function needs no approximation: value and errors are those of the point."""
    world_study, parts, noise, draws, shared = drawn
    for point in world_study.points:
        own = functional(draws.select([point.id], draws.objectives), [point], shared, lambda values: values[:, 0, 1])
        part = parts[point.id, "toxicity"]
        assert own.value == pytest.approx(part.value)
        assert own.checkpoints.se == pytest.approx(checkpoints(part).se, rel=1e-6)
        expected = seed_and_prompt_error(part, noise[point.id, "toxicity"])
        if noise[point.id, "toxicity"].pool == "calm":
            assert own.spread.se == pytest.approx(expected.se, rel=1e-6)


def test_a_difference_of_means_is_the_paired_difference(drawn):
    world_study, parts, _, draws, shared = drawn
    first, second = world_study.points[0], world_study.points[2]
    each = [
        functional(draws.select([point.id], draws.objectives), [point], shared, lambda values: values[:, 0, 0])
        for point in (first, second)
    ]
    grid = world_study.grids["win_rate"]
    difference = (grid.total[grid.rows(first.cells)] - grid.total[grid.rows(second.cells)]).mean(0)
    expected = np.sqrt(difference.var(ddof=1) / len(difference))
    assert (each[0] - each[1]).checkpoints.se == pytest.approx(expected, rel=1e-6)


def test_a_hypervolumes_error_over_prompts_is_that_of_the_draws(drawn):
    world_study, _, _, draws, shared = drawn
    points = list(world_study.points[:2])
    part = draws.select([point.id for point in points], draws.objectives)
    volume = functional(part, points, shared, lambda values: frontier.hypervolumes(values, OBJECTIVES))
    spread = frontier.hypervolumes(part.checkpoints, OBJECTIVES).std(ddof=1)
    assert volume.checkpoints.se == pytest.approx(spread, rel=0.12)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 6), st.integers(2, 3), st.integers(0, 1000), st.data())
def test_expected_hypervolume_is_the_mean_over_all_subsets(n, dimensions, seed, data):
    k = data.draw(st.integers(1, n))
    objectives = [
        Objective(name, name, "maximize", "x", (0.0, 1.0), reference_point=0.1) for name in "abc"[:dimensions]
    ]
    draws = np.random.default_rng(seed).integers(0, 6, (3, n, dimensions)) / 5
    expected = [
        np.mean([frontier.hypervolume(points[list(subset)], objectives) for subset in combinations(range(n), k)])
        for points in draws
    ]
    assert frontier.expected_hypervolumes(draws, k, objectives) == pytest.approx(expected, abs=1e-9)


def test_more_settings_of_one_truth_are_no_larger_at_equal_number(drawn):
    """Eight draws around one truth: their union covers more, one of them drawn at random does not."""
    random = np.random.default_rng(0)
    draws = 0.5 + 0.05 * random.normal(size=(4000, 8, 2))
    objectives = [Objective(name, name, "maximize", "x", (0.0, 1.0), reference_point=0.0) for name in "ab"]
    single = frontier.hypervolumes(draws[:, :1], objectives).mean()
    assert frontier.hypervolumes(draws, objectives).mean() > single + 0.05
    assert frontier.expected_hypervolumes(draws, 1, objectives).mean() == pytest.approx(single, abs=0.004)


def with_gaps():
    """A study in which the first point lacks a seed and toxicity lacks some prompts."""
    study, _ = spread_world(3, 2, seeds=3, seed_sd=0.04).study(np.random.default_rng(3))
    first, *others = study.points
    points = [replace(first, seeds=first.seeds[:2], cells=first.cells[:2]), *others]
    grid = study.grids["toxicity"]
    first_ones = slice(0, len(grid.clusters) - 30)
    total, count = grid.total[:, first_ones], grid.count[:, first_ones]
    fewer = replace(
        grid, clusters=grid.clusters[first_ones], total=total, count=count, missing=grid.missing[:, first_ones],
        mean=total.sum(1) / count.sum(1),
    )  # fmt: skip
    return points, study.grids | {"toxicity": fewer}


def test_influences_are_derivatives_in_the_weights_of_seeds_and_prompts():
    """Also of a point with fewer seeds and of an objective with fewer prompts than the others."""
    points, grids = with_gaps()
    parts = variance_parts(points, grids)
    noise = seed_noise(points, grids, parts)
    pair, columns = points[:2], list(grids.values())
    shared = frame(points, columns, noise)
    draws = replicate(pair, columns, parts, noise, 600)
    own = functional(draws, pair, shared, lambda values: values[:, 0, 0] + 2 * values[:, 1, 1])

    def mean(point, grid, of_seeds, of_prompts):
        rows, places = grid.rows(point.cells), [shared.clusters.index(cluster) for cluster in grid.clusters]
        weight = of_prompts[places]
        return np.average(
            (grid.total[rows] @ weight) / (grid.count[rows] @ weight), weights=of_seeds[list(point.seeds)]
        )

    def figure(of_seeds, of_prompts):
        return mean(pair[0], columns[0], of_seeds, of_prompts) + 2 * mean(pair[1], columns[1], of_seeds, of_prompts)

    seeds, prompts, step = np.ones(len(shared.seeds)), np.ones(len(shared.clusters)), 1e-4
    by_seed = [
        (figure(seeds + e, prompts) - figure(seeds - e, prompts)) / (2 * step) for e in step * np.eye(len(seeds))
    ]
    by_prompt = [
        (figure(seeds, prompts + e) - figure(seeds, prompts - e)) / (2 * step) for e in step * np.eye(len(prompts))
    ]
    assert own.value == pytest.approx(figure(seeds, prompts))
    assert own.means - own.value == pytest.approx(len(seeds) * np.array(by_seed), abs=1e-6)
    assert own.influence.mean(0) == pytest.approx(len(prompts) * np.array(by_prompt), abs=1e-6)
