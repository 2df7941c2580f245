"""The length-controlled win rate against scikit-learn and against known truth."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from reports.statistics.length_control import RIDGE, fit


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
    found = fit(np.ones(50), np.linspace(-1, 1, 50), np.ones((1, 50)))
    assert np.isfinite(found).all() and found[0, 0] > 3


def test_length_effect_is_taken_out(analysis):
    """The made-up judge ignores length: control changes little, and the interval is no narrower than noise allows."""
    moved = [found.best.value - found.raw.value for found in analysis.length_controlled]
    assert abs(sum(moved) / len(moved)) < 0.01
    for found in analysis.length_controlled:
        assert 0.7 < found.checkpoints.se / analysis.points[found.point.id].checkpoints["win_rate"].se < 1.4
    assert len(analysis.length_controlled) == 24
