"""Seed noise: pooled where settings are alike, separate where they are not, zero where nothing was trained."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special

from reports.analysis import analyse, analyse_study
from reports.grids import study
from reports.statistics.estimates import SeedNoise, components
from reports.statistics.seed_noise import (
    Settings,
    _log_moments,
    doubtful,
    figure_noise,
    moderate,
    of_two_seeds,
    prior_df,
    seed_noise,
    trigamma_inverse,
    trimming,
)
from reports.statistics.variance import variance_parts
from tests.performance.worlds import World, alike, worlds
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


def figures(*values):
    return {f"m{i}": components(np.array(v), np.zeros((len(v), 0))) for i, v in enumerate(values)}


def test_trigamma_is_inverted():
    for y in (0.1, 0.5, 2.0, 50.0):
        assert trigamma_inverse(float(special.polygamma(1, y))) == pytest.approx(y, rel=1e-6)


def test_the_prior_of_equal_variances_is_infinite_and_of_unequal_ones_is_found():
    """Scaled inverse-χ² variances with d₀ = 4 and 200 settings of five seeds: d₀ is found within a factor of two."""
    random = np.random.default_rng(0)
    df = np.full(200, 4.0)
    equal = random.chisquare(4, (200, 2)) / 4
    assert prior_df(equal, df) > 20
    assert 2 < prior_df(equal * (4 / random.chisquare(4, (200, 2))), df) < 8
    assert prior_df(equal[:2], df[:2]) == np.inf


def test_what_is_left_after_trimming_is_unbiased():
    random = np.random.default_rng(0)
    square = random.chisquare(2, 200_000) / 2
    kept = square[square < -np.log(0.04)]  # the 0.96 quantile of χ²_2/2
    assert kept.mean() * trimming(2.0, 1e9) == pytest.approx(1.0, abs=0.02)


def test_a_noisy_method_stands_alone_and_leaves_the_others_as_they_were():
    calm = [[-1.0, 1.0, 0.0]] * 9
    alone, mixed = figure_noise(figures(*calm)), figure_noise(figures(*calm, [-100.0, 100.0, 0.0]))
    assert mixed["m9"].pool != "calm" and mixed["m9"].variance == pytest.approx(10_000.0) and mixed["m9"].df == 2.0
    # trimming depends on the number of methods a little
    assert mixed["m0"].variance == pytest.approx(alone["m0"].variance, rel=0.05)
    assert mixed["m0"].df == alone["m0"].df == 18.0


def test_with_two_seeds_a_noisy_method_has_values_and_no_variance():
    noise = figure_noise(figures(*[[-1.0, 1.0]] * 9, [-100.0, 100.0]))
    assert not noise["m9"].estimable and noise["m9"].reason.startswith("seeds disagree")
    assert noise["m0"].estimable


def test_where_most_differ_none_is_singled_out():
    """Half of the methods tiny, half large: there is no common noise, and the tiny ones are not taken for it."""
    noise = figure_noise(figures(*[[0.0, 1e-4]] * 2, *[[-1.0, 1.0]] * 3))
    assert {each.pool for each in noise.values()} == {"calm"}


def test_settings_share_degrees_of_freedom_as_far_as_they_move_together():
    square = np.ones((4, 1))
    apart = Settings(square, 0 * square, np.full(4, 2.0), np.zeros(4, int), 0.0, 0.0)
    together = replace(apart, sweep=1.0)
    assert (apart.df * apart.share).sum() == 8.0 and (together.df * together.share).sum() == 2.0
    assert doubtful(apart).calm.all()


def test_moments_of_a_log_variance_on_two_degrees_of_freedom_are_those_of_a_log_exponential():
    """χ²₂/2 is exponential; what lies below the floor of 0.01 is put there."""

    def expected(function):
        above, _ = integrate.quad(lambda x: function(np.log(x)) * np.exp(-x), 0.01, np.inf)
        return above + function(np.log(0.01)) * (1 - np.exp(-0.01))

    mean = expected(lambda log: log)
    centred = [expected(lambda log, k=k: (log - mean) ** k) for k in (2, 4)]
    assert _log_moments(2.0) == pytest.approx((mean, *centred), rel=0.01)


def test_three_settings_have_a_prior_and_two_have_none():
    df, ratio = np.full(3, 200.0), np.array([[0.02], [1.0], [50.0]])
    assert np.isfinite(prior_df(ratio, df))
    assert prior_df(ratio[:2], df[:2]) == prior_df(np.where(ratio > 1, np.nan, ratio), df) == np.inf


@pytest.mark.parametrize(("df", "others"), [(0.0, 5.0), (5.0, 0.0), (0.0, 0.0)])
def test_nothing_is_trimmed_where_nothing_can_be_compared(df, others):
    assert trimming(df, others) == 1.0


def test_correlated_objectives_count_as_fewer():
    settings = Settings(np.ones((2, 3)), np.zeros((2, 3)), np.ones(2), np.arange(2), 0.0, 0.0)
    assert [replace(settings, objectives=rho).independent for rho in (0.0, 0.5, 1.0)] == pytest.approx([3.0, 1.5, 1.0])


def test_a_mean_excess_is_weighted_by_degrees_of_freedom_and_leaves_out_what_is_absent():
    square = np.array([[2.5, 1.0], [np.nan, 4.0], [5.5, 1.0]])
    settings = Settings(square, np.full((3, 2), 0.5), np.array([1.0, 5.0, 3.0]), np.arange(3), 0.0, 0.0)
    expected = [(2 * 1 + 5 * 3) / 4, (0.5 * 1 + 3.5 * 5 + 0.5 * 3) / 9]
    assert settings.mean_excess(np.ones(3, bool)) == pytest.approx(expected)
    assert settings.mean_excess(np.array([False, True, False])) == pytest.approx([0.0, 3.5])


def sweeps(scale) -> tuple[Settings, list[str], list[str]]:
    """Methods × settings with variances of 1 on five seeds, times `scale`."""
    scale = np.asarray(scale, dtype=float)
    methods, count = scale.shape
    square = np.repeat(scale.reshape(-1, 1), 2, axis=1)
    settings = Settings(
        square, np.full(square.shape, 0.25), np.full(len(square), 4.0), np.repeat(np.arange(methods), count), 0.0, 0.0
    )
    names = [f"m{m}p{i}" for m in range(methods) for i in range(count)]
    return settings, names, [f"m{m}" for m in settings.method]


def test_pools_are_those_of_the_calm_of_every_noisy_method_and_of_single_settings():
    """Method 4 is a hundred times as noisy as the rest, method 5 a thousand times, and so is one setting of method 0."""
    scale = np.ones((6, 3))
    scale[4], scale[5], scale[0, 1] = 100.0, 1000.0, 1000.0
    settings, names, methods = sweeps(scale)
    noise = dict(zip(names, moderate(settings, doubtful(settings), names, methods), strict=True))
    pools = {name: each[0].pool for name, each in noise.items()}
    assert pools == {
        name: "setting m0p1" if name == "m0p1" else f"method {name[:2]}" if name[:2] in ("m4", "m5") else "calm"
        for name in names
    }
    assert [noise[name][1].variance for name in ("m4p0", "m5p2", "m0p1")] == pytest.approx([99.75, 999.75, 999.75])
    assert [noise[name][0].df for name in ("m4p0", "m5p2", "m0p1", "m1p0")] == [12.0, 12.0, 4.0, 44.0]


def test_equal_settings_have_their_variance_corrected_for_what_could_have_been_left_out():
    assert figure_noise(figures(*[[-1.0, 1.0, 0.0]] * 9))["m0"].variance == pytest.approx(trimming(2.0, 18.0))
    assert figure_noise(figures([-1.0, 1.0, 0.0]))["m0"].variance == pytest.approx(1.0)


def test_a_moderated_variance_lies_between_its_own_and_the_pools_by_degrees_of_freedom():
    """And a change of unit changes nothing but the unit."""
    random = np.random.default_rng(1)
    settings, names, methods = sweeps(np.maximum(np.exp(1.5 * random.normal(size=(20, 5))), 0.3))
    doubts = doubtful(replace(settings, square=np.ones_like(settings.square)))
    noise = moderate(settings, doubts, names, methods)
    for row, each in enumerate(noise):
        for column, one in enumerate(each):
            assert 0 < one.weight < np.inf
            own = settings.square[row, column] - 0.25
            assert one.variance == pytest.approx((4 * own + one.weight * one.prior) / (4 + one.weight))
            assert one.df == pytest.approx(min(4 + one.weight, 400))
    small = moderate(replace(settings, square=settings.square / 1e4, rest=settings.rest / 1e4), doubts, names, methods)
    assert [one.variance for each in small for one in each] == pytest.approx(
        [one.variance / 1e4 for each in noise for one in each]
    )


def test_one_unstable_setting_of_a_sweep_is_found_on_all_objectives():
    scale = np.ones((4, 4))
    scale[2, 1] = 8.0
    found, _ = World(alike(4, 4), seeds=5, scale=scale).study(np.random.default_rng(0))
    noise = seed_noise(found.points, found.grids, variance_parts(found.points, found.grids))
    assert {(point, noise[point, name].pool) for point, name in noise if noise[point, name].pool != "calm"} >= {
        ("m2p1", "setting m2p1")
    }
    assert noise["m2p1", "win_rate"].df == noise["m2p1", "toxicity"].df == 4.0
    assert noise["m0p0", "win_rate"].pool == "calm"


def test_one_unstable_setting_does_not_make_its_method_noisy():
    """Four methods of four settings of five seeds: the unstable setting stands alone, a noisy method as a whole."""
    square = np.ones((16, 1))
    square[13] = 20.0
    settings = Settings(square, np.zeros((16, 1)), np.full(16, 4.0), np.repeat(np.arange(4), 4), 0.0, 0.0)
    found = doubtful(settings)
    assert np.flatnonzero(found.settings).tolist() == [13] and not found.methods.any()
    noisy = doubtful(replace(settings, square=np.where(settings.method[:, None] == 3, 20.0, 1.0)))
    assert np.flatnonzero(noisy.methods).tolist() == [12, 13, 14, 15] and not noisy.settings.any()


def two_seeds(own: float) -> tuple[Settings, list[list[SeedNoise]]]:
    """Nine settings of one method each with variances of 1, and one with another."""
    square = np.ones((10, 2))
    square[9] = own
    settings = Settings(square, np.full((10, 2), 0.25), np.ones(10), np.arange(10), 0.0, 0.0)
    names = [f"s{i}" for i in range(10)]
    doubts = doubtful(settings)
    assert doubts.calm.all()
    return settings, of_two_seeds(settings, doubts, moderate(settings, doubts, names, names), names)


def test_a_setting_of_two_seeds_is_never_calmer_than_its_own_seeds():
    _, noise = two_seeds(1.8)
    assert noise[9][0].estimable and noise[9][0].pool == "calm"
    assert noise[9][0].variance == pytest.approx(1.8 - 0.25)
    assert noise[9][0].variance > noise[9][0].prior == noise[0][0].prior
    assert noise[0][0].variance == noise[0][0].prior


def test_a_setting_of_two_seeds_in_question_has_no_interval_and_leaves_the_pool_as_it_is():
    _, noise = two_seeds(3.0)
    assert not noise[9][0].estimable and noise[9][0].reason.startswith("seeds disagree")
    assert noise[9][0].prior == pytest.approx(3.0 - 0.25) and noise[9][0].prior_df == 1.0
    assert all(each.estimable for setting in noise[:9] for each in setting)


def test_more_than_two_seeds_are_pooled_as_they_are():
    settings, _ = two_seeds(1.8)
    settings = replace(settings, df=np.full(10, 2.0))
    doubts, names = doubtful(settings), [f"s{i}" for i in range(10)]
    moderated = moderate(settings, doubts, names, names)
    assert of_two_seeds(settings, doubts, moderated, names) == moderated


def test_seeds_that_share_a_checkpoint_have_no_interval_over_seeds_and_lend_nothing():
    records = synthetic.make(METHODS[:3], ("tiny",), (0, 1, 2), prompts=30, with_generations=False)
    base = records.cells.method == "sft"
    shared = replace(records, cells=records.cells.assign(checkpoint=records.cells.checkpoint.mask(base, "one")))
    found, plain = analyse(shared, 100), analyse(records, 100)
    assert found.points["sft-tiny"].method["win_rate"] is None
    assert found.points["sft-tiny"].checkpoints == plain.points["sft-tiny"].checkpoints
    points = [point for point in study(shared).points if point.method == "sft"]
    assert all(point.shares_checkpoint for point in points)
    without = replace(
        records, cells=records.cells[~base], items=records.items[~records.items.cell.str.startswith("sft")]
    )
    others = analyse(without, 100)
    assert found.points["dpo-tiny"].method == others.points["dpo-tiny"].method
    against = next(c for c in found.comparisons if {c.first, c.second} == {"sft-tiny", "dpo-tiny"})
    assert against.scope == "method"


def test_unstable_settings_of_two_seeds_show_their_values_and_no_verdict():
    scale = np.ones((4, 2))
    scale[3] = 40.0
    world = World(alike(4, 2), seeds=2, seed_sd=0.005, scale=scale)
    analysis = analyse_study(world.study(np.random.default_rng(1))[0], 100)
    unstable = analysis.points["m3p0"]
    assert (
        unstable.method["win_rate"] is None or unstable.method["win_rate"].high - unstable.method["win_rate"].low > 0.2
    )
    for name, values in unstable.disagree.items():
        assert len(values) == 2 and "not estimable" in unstable.checkpoints[name].method
    for c in analysis.hypervolumes:
        if c.verdict == "not comparable":
            assert c.p is None and "not estimable" in c.note


def test_the_worlds_of_the_calibration_have_names_of_their_own_and_a_known_truth():
    for name, world in worlds().items():
        assert len(world.truth) == len(world.places), name
        assert np.isfinite(world.truth).all()
