"""Bradley–Terry ratings against logistic regression with clustered errors, closed forms and invariants."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
import statsmodels.api as sm

from reports.statistics.judges.bradley_terry import PRIOR, SCALE, bradley_terry
from reports.statistics.simultaneous import critical


def values(seed=0, entries=4, prompts=60, spread=0.6):
    random = np.random.default_rng(seed)
    return (np.linspace(0, spread, entries)[:, None] + random.normal(0, 0.5, (entries, prompts))).round(1)


def test_ratings_and_errors_are_those_of_a_clustered_logistic_regression(monkeypatch):
    """Without the added games; a tie is half a win for both."""
    monkeypatch.setattr("reports.statistics.judges.bradley_terry.PRIOR", 0.0)
    made, scores = bradley_terry(values()), values()
    rows, outcome, cluster = [], [], []
    for k in range(scores.shape[1]):
        for i, j in combinations(range(len(scores)), 2):
            rows.append(np.eye(len(scores))[i] - np.eye(len(scores))[j])
            outcome.append(0.5 + 0.5 * np.sign(scores[i, k] - scores[j, k]))
            cluster.append(k)
    design = np.array(rows)[:, 1:]
    fit = sm.GLM(np.array(outcome), design, family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": np.array(cluster), "use_correction": False}
    )
    np.testing.assert_allclose(made.theta[1:] - made.theta[0], fit.params, atol=1e-6)
    contrast = np.hstack([-np.ones((len(scores) - 1, 1)), np.eye(len(scores) - 1)])
    mine = contrast @ made.covariance @ contrast.T * (made.prompts - 1) / made.prompts
    np.testing.assert_allclose(mine, fit.cov_params(), rtol=1e-5, atol=1e-9)


def test_an_entry_that_always_wins_has_a_finite_rating():
    made = bradley_terry(np.array([[1.0] * 9, [0.0] * 9]))
    assert made.theta[0] - made.theta[1] == pytest.approx(np.log((9 + PRIOR / 2) / (PRIOR / 2)))
    assert made.points.sum() == pytest.approx(0) and made.points[0] == pytest.approx(made.theta[0] * SCALE)


def test_order_of_entries_and_prompts_and_scale_of_values_do_not_matter():
    scores, order = values(), np.array([2, 0, 3, 1])
    first, second = bradley_terry(scores), bradley_terry(np.exp(scores[order][:, ::-1]))
    np.testing.assert_allclose(first.theta[order], second.theta, atol=1e-7)
    np.testing.assert_allclose(first.covariance[np.ix_(order, order)], second.covariance, atol=1e-9)


def test_a_missing_value_is_no_game():
    scores = values()
    scores[0, 40:] = np.nan
    made, alone = bradley_terry(scores), bradley_terry(scores[:, :40])
    others = bradley_terry(scores[1:])
    assert made.prompts == 60 and alone.prompts == 40
    assert np.isfinite(made.theta).all() and others.prompts == 60
    only_two = scores[:2]
    assert bradley_terry(only_two).prompts == 40


def test_too_little_to_rate():
    assert bradley_terry(np.ones((1, 5))) is None and bradley_terry(np.ones((3, 1))) is None


def test_equal_entries_share_every_place():
    made = bradley_terry(np.ones((3, 20)))
    assert np.allclose(made.theta, 0) and made.places().tolist() == [[1, 3]] * 3


def test_places_are_as_wide_as_the_pairs_that_cannot_be_told_apart():
    made = bradley_terry(values(spread=3.0, prompts=200))
    assert made.places().tolist() == [[4, 4], [3, 3], [2, 2], [1, 1]]
    close = bradley_terry(values(spread=0.0, prompts=200))
    error = np.sqrt(np.diag(close.covariance)[:, None] + np.diag(close.covariance) - 2 * close.covariance)
    apart = (np.abs(close.theta[:, None] - close.theta) > critical(0.05, 4, 199) * error).sum()
    assert apart == 0 and close.places().tolist() == [[1, 4]] * 4


def test_intervals_hold_the_true_rating_in_95_percent():
    """Values whose pairwise order follows the model exactly: exponential waiting times (Luce)."""
    random, theta = np.random.default_rng(1), np.array([-0.5, 0.0, 0.5])
    held = []
    for _ in range(300):
        made = bradley_terry(-random.exponential(np.exp(-theta)[:, None], (3, 80)))
        low, high = made.intervals().T / SCALE
        held.append((low <= theta) & (theta <= high))
    share = np.mean(held)
    assert abs(share - 0.95) < 0.025
