"""The length-controlled win rate against scikit-learn and against known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

from reports.statistics.length_control import RIDGE, _Cell, _cell, _components, fit


@pytest.mark.parametrize("seed", range(3))
def test_the_fit_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    lengths = np.tanh(rng.normal(size=80))
    wins = (rng.random(80) < 1 / (1 + np.exp(-(0.3 + 1.2 * lengths)))).astype(float)
    weight = rng.exponential(size=80)
    weight *= 80 / weight.sum()
    design = np.stack([np.ones(80), lengths], axis=1)
    reference = LogisticRegression(C=1 / RIDGE, fit_intercept=False, tol=1e-10, max_iter=1000)
    reference.fit(design, wins, sample_weight=weight)
    assert fit(wins, lengths, weight[None])[0] == pytest.approx(reference.coef_[0], abs=1e-5)


def test_ties_are_half_a_win_each():
    lengths = np.array([0.2, -0.4, 0.1, 0.7, -0.3])
    wins = np.array([1.0, 0.5, 0.0, 0.5, 1.0])
    split = fit(
        np.array([1, 1, 0, 0, 1, 0, 1.0]), lengths[[0, 1, 1, 2, 3, 3, 4]], np.array([[1, 0.5, 0.5, 1, 0.5, 0.5, 1]])
    )
    assert fit(wins, lengths, np.ones((1, 5)))[0] == pytest.approx(split[0], abs=1e-6)


def test_every_item_won_stays_finite():
    fitted = fit(np.ones(50), np.linspace(-1, 1, 50), np.ones((1, 50)))
    assert np.isfinite(fitted).all() and fitted[0, 0] > 3


def test_length_effect_is_taken_out(analysis):
    """The made-up judge ignores length: control changes little, and the interval is no narrower than noise allows."""
    moved = [fitted.best.value - fitted.raw.value for fitted in analysis.length_controlled]
    assert abs(sum(moved) / len(moved)) < 0.01
    for fitted in analysis.length_controlled:
        assert 0.7 < fitted.checkpoints.se / analysis.points[fitted.point.id].checkpoints["win_rate"].se < 1.4
    assert len(analysis.length_controlled) == 24


@pytest.mark.parametrize("n", [3, 10])
def test_the_bootstraps_variance_is_made_unbiased(n):
    """A Bayesian bootstrap of a mean has variance s²(n − 1)/(n(n + 1)); the components give s²/n."""
    values = np.random.default_rng(n).normal(size=n)
    shares = np.random.default_rng(0).dirichlet(np.ones(n), size=200_000)
    part = _components([_Cell(values.mean(), shares @ values, 0.0, 0.0, 0.0)], n)
    assert part.prompts == pytest.approx(values.var(ddof=1) / n, rel=0.02)


def test_the_components_of_two_seeds_are_those_of_their_draws():
    draws = np.array([[0.0, 2.0, 4.0], [1.0, 1.0, 7.0]])
    part = _components([_Cell(1.0, draws[0], 0.0, 0.0, 0.0), _Cell(4.0, draws[1], 0.0, 0.0, 0.0)], 4)
    factor = 5 / 3
    both, single = np.var([0.5, 1.5, 5.5], ddof=1) * factor, np.mean([4.0, 12.0]) * factor
    assert (part.value, part.prompts, part.n_prompts, part.n_seeds) == (2.5, pytest.approx(both), 4, 2)
    assert part.seeds == pytest.approx(4.5 / 2) and part.rest == pytest.approx(max(0.0, single - both))


def cell(policy, reference, wins, clusters):
    """Items of one cell with these lengths."""
    detail = [f'{{"len_policy": {a}, "len_reference": {b}}}' for a, b in zip(policy, reference, strict=True)]
    return pd.DataFrame({"value": wins, "cluster": list(clusters), "detail": detail})


def test_equal_lengths_leave_the_raw_rate():
    items = cell([7] * 4, [7] * 4, [1.0, 1.0, 1.0, 0.0], "abcd")
    result = _cell(items, np.full((1, 4), 0.25), {c: i for i, c in enumerate("abcd")})
    assert (result.length, result.reference, result.slope) == (7.0, 7.0, pytest.approx(0.0))
    assert [result.value, *result.draws] == pytest.approx([0.75, 0.75], abs=0.01)


def test_the_weights_of_a_draw_are_those_of_the_items_prompts_and_sum_to_the_items():
    policy, reference, wins = [3, 9, 5, 1], [4, 4, 4, 6], np.array([1.0, 1.0, 0.0, 0.5])
    result = _cell(cell(policy, reference, wins, "aabc"), np.array([[0.1, 0.2, 0.7]]), {"a": 0, "b": 1, "c": 2})
    difference = np.subtract(policy, reference)
    weight = np.array([0.1, 0.1, 0.2, 0.7]) * 4 / 1.1
    theta = fit(wins, np.tanh(difference / difference.std()), weight[None])[0, 0]
    assert result.draws == pytest.approx([1 / (1 + np.exp(-theta))], abs=1e-4)
