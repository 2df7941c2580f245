"""Choice of settings on some prompts and estimates on the others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from reports.analysis import analyse
from reports.findings import caveats, findings
from reports.frontiers.selection import FEWEST, chooses, halves, means, optimism, representative
from reports.grids import Grid, study
from tests.performance.worlds import OBJECTIVES, World
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


@pytest.fixture(scope="module")
def arranged():
    return study(synthetic.make(METHODS[:4], ("tiny",), prompts=60, with_generations=False))


def test_every_prompt_is_on_one_side_and_the_sides_add_up(arranged):
    sides = halves(arranged.grids)
    for name, grid in arranged.grids.items():
        one, other = sides.validation[name], sides.test[name]
        assert sorted([*one.clusters, *other.clusters]) == sorted(grid.clusters)
        assert min(len(one.clusters), len(other.clusters)) >= FEWEST
        together = (one.total.sum(1) + other.total.sum(1)) / (one.count.sum(1) + other.count.sum(1))
        assert together == pytest.approx(grid.mean)
        assert one.influence(range(len(one.cells))).sum(1) == pytest.approx(0, abs=1e-9)


def test_a_prompts_side_follows_from_its_id_alone(arranged):
    """A third chooses, and further prompts or another order move none."""
    share = np.mean([chooses(f"prompt {i}") for i in range(9000)])
    assert share == pytest.approx(1 / 3, abs=4 * np.sqrt(2 / 9 / 9000))
    grid = arranged.grids["win_rate"]
    assert set(halves({"win_rate": grid}).validation["win_rate"].clusters) == set(filter(chooses, grid.clusters))


def test_too_few_prompts_are_not_split():
    few = study(synthetic.make(METHODS[:4], ("tiny",), prompts=20, with_generations=False))
    assert halves(few.grids) is None
    assert analyse(few.records, 50).held_out == ()


@pytest.mark.parametrize(("choosing", "others"), [(FEWEST, FEWEST), (FEWEST - 1, 99), (99, FEWEST - 1)])
def test_either_side_has_at_least_the_fewest_prompts(choosing, others):
    ids = [f"p{i}" for i in range(1000)]
    chosen, reported = (
        [one for one in ids if chooses(one)][:choosing],
        [one for one in ids if not chooses(one)][:others],
    )
    clusters = tuple(chosen + reported)
    ones = np.ones((1, len(clusters)))
    grid = Grid(OBJECTIVES[0], ("a",), clusters, ones, ones, 0 * ones, np.ones(1), {})
    sides = halves({"win_rate": grid})
    assert (sides is not None) == (min(choosing, others) >= FEWEST)
    if sides is not None:
        assert (sides.validation["win_rate"].clusters, sides.test["win_rate"].clusters) == (
            tuple(chosen), tuple(reported),
        )  # fmt: skip


def noise_world(random):
    """One method, eight settings, all alike: what the best of them has over the others is chance."""
    points, grids = World(np.tile([0.7, 0.3], (1, 8, 1)), seeds=1, prompts=90, seed_sd=0.0).draw(random)
    by_name = {grid.objective.name: grid for grid in grids}
    return points, halves(by_name)


def test_the_maximum_is_flattered_on_its_own_prompts_and_not_on_others():
    """Truth is 0.7 × 0.7 for every setting; 200 worlds know a mean to about 0.003."""
    same, other = [], []
    for seed in range(200):
        points, sides = noise_world(np.random.default_rng(seed))
        chosen = representative(points, sides.validation, OBJECTIVES)
        volume = [
            float(np.prod(np.abs(means([chosen], g, OBJECTIVES) - [0.0, 1.0]))) for g in (sides.validation, sides.test)
        ]
        same.append(volume[0])
        other.append(volume[1])
    error = np.std(other) / np.sqrt(len(other))
    assert np.mean(other) == pytest.approx(0.49, abs=4 * error)
    assert np.mean(same) > 0.49 + 10 * error


def test_optimism_is_never_negative_and_zero_for_one_point(arranged):
    points, sides = noise_world(np.random.default_rng(0))
    assert optimism(points, sides, OBJECTIVES) > 0
    assert optimism(points[:1], sides, OBJECTIVES) == pytest.approx(0.0, abs=1e-12)


def test_comparisons_are_of_the_test_prompts_and_say_so():
    records = synthetic.make(METHODS[2:5], ("tiny",), prompts=60, with_generations=False)
    arranged = analyse(records, 100)
    used = {comparison.difference.n for comparison in arranged.comparisons}
    assert used == {2 * sum(not chooses(f"p{i}") for i in range(60))}
    assert {row.method for row in arranged.held_out} == {None, "upo", "modpo"}
    assert any("chosen on a third of the prompts" in text for text in caveats(arranged, {}))
    assert any("on the validation prompts" in finding.text for finding in findings(arranged))


def test_nothing_is_split_where_nothing_is_chosen():
    arranged = analyse(synthetic.make(METHODS[:3], ("tiny",), prompts=60, with_generations=False), 100)
    assert arranged.held_out == () and {c.difference.n for c in arranged.comparisons} == {120}
    assert not any("chosen" in text for text in caveats(arranged, {}))


def test_a_closed_form_is_the_same_on_both_sides(arranged):
    grid = arranged.grids["win_rate"]
    figure = replace(grid, clusters=(), total=np.zeros((len(grid.cells), 0)), count=np.zeros((len(grid.cells), 0)))
    sides = halves({"win_rate": grid, "cost": figure})
    assert sides.validation["cost"] is sides.test["cost"] is figure
