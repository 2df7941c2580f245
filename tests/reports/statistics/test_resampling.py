"""The joint resampling: right variances, kept correlations, and independence of everything else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.records import Records
from reports.analysis import analyse
from reports.grids import study
from reports.statistics.correlation import along_sweep
from reports.statistics.estimates import checkpoints, total_error
from reports.statistics.resampling import replicate
from reports.statistics.seed_noise import seed_noise
from reports.statistics.variance import variance_parts
from tests.performance.worlds import null_world
from tests.reports import synthetic
from tests.reports.synthetic import METHODS, MadeMethod

DRAWS = 4000


@pytest.fixture(scope="module")
def drawn():
    arranged = study(synthetic.make(sizes=["tiny"], seeds=[0, 1, 2], prompts=50, seed_sd=0.05, with_generations=False))
    parts = variance_parts(arranged.select(), arranged.grids)
    noise = seed_noise(arranged.select(), arranged.grids, parts)
    return arranged, parts, noise, replicate(arranged.points, list(arranged.grids.values()), parts, noise, DRAWS)


def test_replicates_vary_as_the_closed_forms_say(drawn):
    arranged, parts, noise, draws = drawn
    for column, name in enumerate(draws.objectives):
        for row, point in enumerate(arranged.points):
            part = parts[point.id, name]
            # The standard deviation of 4,000 draws is itself known to about 1.1 %.
            assert draws.checkpoints[:, row, column].std() == pytest.approx(checkpoints(part).se, rel=0.06)
            spread = total_error(part, noise[point.id, name])
            # Seeds that seem to vary less than single items explain add nothing: draws cannot be made narrower.
            expected = max(spread.se, checkpoints(part).se)
            assert draws.method[:, row, column].std() == pytest.approx(expected, rel=0.06)
            assert draws.estimate[row, column] == pytest.approx(part.value)


@pytest.mark.parametrize("variance", [0.04, -0.04])
def test_seeds_without_an_interval_move_the_draws_by_their_own_variance(drawn, variance):
    """And a negative estimate of it by nothing."""
    arranged, parts, noise, _ = drawn
    unstable = {key: replace(each, df=1.0, variance=variance) for key, each in noise.items()}
    draws = replicate(arranged.points, list(arranged.grids.values()), parts, unstable, DRAWS)
    for column, name in enumerate(draws.objectives):
        for row, point in enumerate(arranged.points):
            expected = np.sqrt(checkpoints(parts[point.id, name]).se ** 2 + max(variance, 0.0) / 3)
            assert draws.method[:, row, column].std() == pytest.approx(expected, rel=0.06)


def test_prompts_shared_by_methods_stay_paired(drawn):
    """The variance of a difference is that of the paired differences, smaller than the sum of the two."""
    arranged, _, _, draws = drawn
    grid = arranged.grids["win_rate"]
    first, second = arranged.points[0], arranged.points[1]
    values = [grid.total[grid.rows(point.cells)] / grid.count[grid.rows(point.cells)] for point in (first, second)]
    difference = (values[0] - values[1]).mean(0)
    expected = np.sqrt(difference.var(ddof=1) / len(difference))
    column = draws.objectives.index("win_rate")
    got = draws.checkpoints[:, 0, column] - draws.checkpoints[:, 1, column]
    assert got.std() == pytest.approx(expected, rel=0.06)


def test_order_of_rows_changes_nothing():
    records = synthetic.make(methods=METHODS[:3], sizes=["tiny"], prompts=20, with_generations=False)
    shuffled = Records(
        **{name: frame.sample(frac=1, random_state=0) for name, frame in vars(records).items() if name != "objectives"},
        objectives=records.objectives,
    )
    one, other = analyse(records, 100), analyse(shuffled, 100)
    assert one.methods == other.methods
    assert {point: result.checkpoints for point, result in one.points.items()} == {
        point: result.checkpoints for point, result in other.points.items()
    }


def test_another_method_leaves_the_replicates_of_the_others():
    some = study(synthetic.make(methods=METHODS[:2], sizes=["tiny"], prompts=20, with_generations=False))
    records = synthetic.make(methods=METHODS[:2], sizes=["tiny"], prompts=20, with_generations=False)
    extra = synthetic.make(methods=[MadeMethod("zzz", 0.1)], sizes=["tiny"], prompts=20, seed=9, with_generations=False)
    import pandas as pd

    both = Records(
        **{
            name: pd.concat([frame, getattr(extra, name)]) if name in ("cells", "items", "measures") else frame
            for name, frame in vars(records).items()
        }
    )
    more = study(both)
    results = []
    for arranged in (some, more):
        parts = variance_parts(arranged.select(), arranged.grids)
        draws = replicate(arranged.points, list(arranged.grids.values()), parts, {}, 200)
        results.append(draws.select([point.id for point in some.points], draws.objectives).checkpoints)
    assert (results[0] == results[1]).all()


def test_one_seed_has_no_method_replicates():
    arranged = study(synthetic.make(methods=METHODS[:2], sizes=["tiny"], seeds=[3], prompts=10, with_generations=False))
    parts = variance_parts(arranged.select(), arranged.grids)
    assert (
        replicate(
            arranged.points,
            list(arranged.grids.values()),
            parts,
            seed_noise(arranged.select(), arranged.grids, parts),
            50,
        ).method
        is None
    )


@pytest.mark.parametrize(("along", "expected"), [(0.0, 0.0), (1.0, 1.0)])
def test_seeds_move_a_sweep_together_as_far_as_they_did(along, expected):
    """Correlation between the points of one method, from 40 methods of 4 points and 3 seeds."""
    points, grids = null_world(40, 4, seeds=3, seed_sd=0.2, along_sweep=along).draw(np.random.default_rng(0))
    arranged = along_sweep(points, grids[1])
    # 80 degrees of freedom between methods' seeds leave a standard error of about 0.06.
    assert arranged == pytest.approx(expected, abs=0.15)
