"""Closed forms of the estimators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.estimates import (
    Components,
    SeedNoise,
    Spread,
    checkpoints,
    components,
    estimate,
    fixed_checkpoint,
    imbens_manski,
    interval,
    missing_bounds,
    satterthwaite,
    seed_and_prompt_error,
    total_error,
    whatever_is_missing,
    within_prompts,
)
from reports.statistics.seed_noise import figure_noise


def parts_of(values):
    values = np.asarray(values, float)
    return components(values.mean(1), values - values.mean(1, keepdims=True))


def test_one_seed_is_the_textbook_standard_error():
    values = np.random.default_rng(0).normal(size=(1, 50))
    assert checkpoints(parts_of(values)).se == pytest.approx(stats.sem(values[0]))
    assert seed_and_prompt_error(parts_of(values), SeedNoise(1.0, 3, 3)) is None


def test_components_equal_the_two_way_analysis_of_variance():
    values = np.random.default_rng(1).normal(size=(4, 30)) + np.arange(4)[:, None]
    seeds, prompts = values.shape
    grand = values.mean()
    between_seeds = prompts * ((values.mean(1) - grand) ** 2).sum() / (seeds - 1)
    between_prompts = seeds * ((values.mean(0) - grand) ** 2).sum() / (prompts - 1)
    rest = ((values - values.mean(1, keepdims=True) - values.mean(0) + grand) ** 2).sum() / (
        (seeds - 1) * (prompts - 1)
    )
    part = parts_of(values)
    assert part.prompts == pytest.approx(between_prompts / (seeds * prompts))
    assert part.seeds == pytest.approx(between_seeds / (seeds * prompts))
    assert part.rest == pytest.approx(rest / (seeds * prompts))
    assert part.seed_variance == pytest.approx((between_seeds - rest) / prompts)


def test_samples_of_one_prompt_are_one_cluster():
    """Repeating every item changes nothing: 20 prompts × 5 equal samples are worth 20 items."""
    from harness.records import ItemScore, Objective, Records
    from reports.analysis import analyse
    from tests.reports.synthetic import MadeMethod, make

    values = np.random.default_rng(2).random(20)
    cells = make(methods=[MadeMethod("dpo", 0.0)], sizes=["tiny"], seeds=[0], prompts=2).cells
    rows = [
        ItemScore("toxicity", f"p{i}#{t}", f"p{i}", float(v), trial=t, cell="dpo-tiny-s0")
        for i, v in enumerate(values)
        for t in range(5)
    ]
    objective = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))
    empty = Records.build(objectives=[objective], items=rows)
    found = analyse(Records(**{**vars(empty), "cells": cells}), 50).points["dpo-tiny"].checkpoints["toxicity"]
    assert found.n == 100
    assert found.se == pytest.approx(stats.sem(values))


def test_wilson_agrees_with_scipy():
    wins, n = 7, 40
    share = wins / n
    spread = Spread(np.sqrt(share * (1 - share) / n), np.inf)
    low, high, name = interval(share, spread, (0.0, 1.0), n)
    expected = stats.binomtest(wins, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high))
    assert name == "Wilson score"


@given(st.floats(0, 1), st.floats(1e-6, 0.5), st.integers(1, 50))
def test_a_bounded_interval_never_leaves_its_bounds(value, se, df):
    low, high, _ = interval(value, Spread(se, df), (0.0, 1.0), 30)
    assert 0 <= low <= value + 1e-12 and value - 1e-12 <= high <= 1


@given(st.integers(2, 4), st.floats(0.1, 10), st.floats(-5, 5))
def test_shift_and_scale_equivariance(seeds, scale, shift):
    values = np.random.default_rng(seeds).normal(size=(seeds, 12))
    plain, moved = parts_of(values), parts_of(scale * values + shift)
    assert moved.value == pytest.approx(scale * plain.value + shift)
    noise, moved_noise = figure_noise({"a": plain}), figure_noise({"a": moved})
    assert checkpoints(moved).se == pytest.approx(scale * checkpoints(plain).se)
    errors = total_error(plain, noise["a"]), total_error(moved, moved_noise["a"])
    assert errors[1].se == pytest.approx(scale * errors[0].se) and errors[1].df == pytest.approx(errors[0].df)


def test_what_cannot_be_estimated_is_none_not_zero():
    one_item = estimate(0.4, checkpoints(parts_of([[0.4]])), n=1)
    assert (one_item.se, one_item.low, one_item.high, one_item.method) == (None, None, None, "not estimable")
    all_equal = estimate(3.0, checkpoints(parts_of([[3.0, 3.0, 3.0]])), n=3)
    assert all_equal.se is None and all_equal.low is None
    all_lost = estimate(0.0, checkpoints(parts_of([[0.0] * 30])), (0.0, 1.0), n=30)
    assert all_lost.se is None and all_lost.low == 0.0 and 0.05 < all_lost.high < 0.15


def test_the_variance_of_a_methods_mean_is_unbiased():
    """Without seed noise A + T estimates σ²_prompt/K + σ²_rest/(S·K), which a variance cut off at 0 exceeds."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(2000):
        part = parts_of(rng.normal(size=(2, 30)) + 0.5 * rng.normal(size=30))
        found.append(total_error(part, figure_noise({"a": part})["a"]).se ** 2)
    truth = 0.25 / 30 + 1 / 60
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(len(found)))


def test_missing_items_are_bounded_by_all_loss_and_all_win():
    assert missing_bounds(30.0, 40.0, 10.0, (0.0, 1.0)) == (0.6, 0.8)
    assert missing_bounds(30.0, 40.0, 0.0, (0.0, 1.0)) == (0.75, 0.75)
    assert missing_bounds(1.0, 2.0, 1.0, (0.0, np.inf)) == (pytest.approx(1 / 3), np.inf)


def test_where_seeds_and_prompts_cancel_the_error_is_that_of_the_checkpoints():
    """σ²_seed/S + rest = 0 and prompts = rest: A + T = 0, which is no certainty."""
    part = Components(value=0.5, prompts=0.01, seeds=0.0, rest=0.01, n_prompts=20, n_seeds=2)
    assert seed_and_prompt_error(part, SeedNoise(-0.02, 5, 5)) == checkpoints(part)


def test_seeds_that_are_too_few_for_their_disagreement_and_shared_checkpoints_have_no_error_over_seeds():
    part = parts_of(np.random.default_rng(0).normal(size=(2, 20)))
    assert seed_and_prompt_error(part, SeedNoise(1.0, 1.0, 1.0, "setting a")) is None
    assert seed_and_prompt_error(part, SeedNoise(1.0, 2.0, 2.0)) is not None
    assert seed_and_prompt_error(part, fixed_checkpoint()) is None
    noise = SeedNoise(1.0, 4.0, 4.0)
    assert fixed_checkpoint() + noise == noise == noise + fixed_checkpoint()


def test_noise_of_one_pool_shares_its_degrees_of_freedom_and_of_two_pools_adds_them():
    calm, wild = SeedNoise(1.0, 6.0, 20.0), SeedNoise(25.0, 2.0, 2.0, "setting a")
    assert ((calm + calm).variance, (calm + calm).df) == (2.0, 6.0)
    assert (calm + wild).variance == 26.0
    assert (calm + wild).df == pytest.approx(26**2 / (1 / 6 + 25**2 / 2)) == satterthwaite([(1.0, 6.0), (25.0, 2.0)])


@given(st.floats(0, 3), st.floats(0.01, 1), st.floats(2, 100))
def test_imbens_manski_covers_at_both_ends(width, se, df):
    """The interval [L − c·se, U + c·se] contains a mean at either bound with 95 %: that equation defines c."""
    c = imbens_manski(width, se, df)
    assert stats.t.cdf(c + width / se, df) - stats.t.cdf(-c, df) == pytest.approx(0.95, abs=1e-6)
    assert stats.t.ppf(0.95, df) - 1e-6 <= c <= stats.t.ppf(0.975, df) + 1e-6


def test_an_interval_whatever_is_missing_contains_the_bounds_and_more():
    spread = Spread(0.03, 40)
    plain = estimate(0.7, spread, (0.0, 1.0), 90, 10)
    limits = (0.63, 0.73)
    found = whatever_is_missing(plain, spread, limits, (0.0, 1.0))
    assert found.low < limits[0] and found.high > limits[1] and found.low < plain.low and found.value == plain.value
    assert "missing items" in found.method
    same = whatever_is_missing(plain, spread, (0.7, 0.7), (0.0, 1.0))
    assert (same.low, same.high) == pytest.approx((plain.low, plain.high), abs=1e-6)


def test_the_error_within_prompts_leaves_the_prompts_out():
    """Ten prompts far apart and four samples each: the mean over these prompts is known far better than over any."""
    random = np.random.default_rng(0)
    truth, prompts = random.normal(0, 10, 10), np.repeat(np.arange(10), 4)
    hits = 0
    for _ in range(400):
        low, high = within_prompts(truth[prompts] + random.normal(size=40), prompts)
        assert high - low < 1.5
        hits += low <= truth.mean() <= high
    assert 0.95 - 4 * 0.011 <= hits / 400 <= 0.95 + 4 * 0.011
    assert within_prompts(np.ones(4), np.array([0, 0, 1, 1])) is None
    assert within_prompts(np.array([0.0, 1.0]), np.array([0, 1])) is None


def test_one_prompt_leaves_no_interaction_to_estimate():
    part = parts_of([[0.2], [0.6]])
    assert (part.prompts, part.rest, part.n_prompts) == (None, 0.0, 1)
    assert part.seeds == pytest.approx(0.04)
