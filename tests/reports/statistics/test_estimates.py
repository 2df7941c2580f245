"""Closed forms of the estimators."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.statistics.estimates import (
    SeedNoise,
    Spread,
    checkpoints,
    components,
    estimate,
    interval,
    missing_bounds,
    pool,
    seed_and_prompt_error,
)


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
    noise, moved_noise = pool([plain], ["a"]), pool([moved], ["a"])
    assert checkpoints(moved).se == pytest.approx(scale * checkpoints(plain).se)
    assert seed_and_prompt_error(moved, moved_noise["a"]).se == pytest.approx(
        scale * seed_and_prompt_error(plain, noise["a"]).se
    )
    assert seed_and_prompt_error(moved, moved_noise["a"]).df == pytest.approx(
        seed_and_prompt_error(plain, noise["a"]).df
    )


def test_what_cannot_be_estimated_is_none_not_zero():
    one_item = estimate(0.4, checkpoints(parts_of([[0.4]])), n=1)
    assert (one_item.se, one_item.low, one_item.high, one_item.method) == (None, None, None, "not estimable")
    all_equal = estimate(3.0, checkpoints(parts_of([[3.0, 3.0, 3.0]])), n=3)
    assert all_equal.se is None and all_equal.low is None
    all_lost = estimate(0.0, checkpoints(parts_of([[0.0] * 30])), (0.0, 1.0), n=30)
    assert all_lost.se is None and all_lost.low == 0.0 and 0.05 < all_lost.high < 0.15


def test_pooling_counts_each_method_once():
    rng = np.random.default_rng(3)
    parts = [parts_of(rng.normal(size=(3, 20)) + 3 * rng.normal(size=(3, 1))) for _ in range(5)]
    methods = ["upo", "upo", "upo", "dpo", "kto"]
    found = pool(parts, methods)
    assert {(noise.df, noise.df_rest) for noise in found.values()} == {(3 * 2, 5 * 2)}
    by_method = [np.mean([p.seed_variance for p, m in zip(parts, methods, strict=True) if m == name]) for name in found]
    assert found["dpo"].variance == pytest.approx(np.mean(by_method))
    assert pool([parts_of(rng.normal(size=(1, 20)))], ["dpo"]) == {}


def test_methods_that_agree_share_one_variance_and_a_noisy_one_keeps_its_own():
    """Figures without prompts: means ±1 have mean square 2 on one degree of freedom each, a hundredfold one 20,000."""
    calm = [components(np.array([-1.0, 1.0]), np.zeros((2, 0))) for _ in range(9)]
    wild = components(np.array([-100.0, 100.0]), np.zeros((2, 0)))
    names = [f"m{i}" for i in range(9)]
    alone, mixed = pool(calm, names), pool([*calm, wild], [*names, "wild"])
    assert alone["m0"].variance == pytest.approx(2.0) and alone["m0"].df == pytest.approx(9.0)
    # F = 10,000 on (1, 9) degrees of freedom: the wild one is practically nobody's neighbour.
    assert mixed["m0"].variance == pytest.approx(2.0, rel=1e-6) and mixed["m0"].df == pytest.approx(9.0, rel=1e-6)
    assert mixed["wild"].variance == pytest.approx(20_000.0, rel=1e-6) and mixed["wild"].df == pytest.approx(
        1.0, rel=1e-6
    )


def test_a_method_with_one_seed_borrows_the_others_variance():
    several = components(np.array([-1.0, 1.0]), np.zeros((2, 0)))
    one = components(np.array([0.3]), np.zeros((1, 0)))
    assert pool([several, several, one], ["a", "b", "c"])["c"].variance == pytest.approx(2.0)


def test_the_variance_of_a_methods_mean_is_unbiased():
    """Without seed noise A + T estimates σ²_prompt/K + σ²_rest/(S·K), which a variance cut off at 0 exceeds."""
    rng = np.random.default_rng(4)
    found = []
    for _ in range(2000):
        part = parts_of(rng.normal(size=(2, 30)) + 0.5 * rng.normal(size=30))
        found.append(seed_and_prompt_error(part, pool([part], ["a"])["a"]).se ** 2)
    truth = 0.25 / 30 + 1 / 60
    assert np.mean(found) == pytest.approx(truth, abs=4 * np.std(found) / np.sqrt(len(found)))


def test_missing_items_are_bounded_by_all_loss_and_all_win():
    assert missing_bounds(30.0, 40.0, 10.0, (0.0, 1.0)) == (0.6, 0.8)
    assert missing_bounds(30.0, 40.0, 0.0, (0.0, 1.0)) == (0.75, 0.75)
    assert missing_bounds(1.0, 2.0, 1.0, (0.0, np.inf)) == (pytest.approx(1 / 3), np.inf)
