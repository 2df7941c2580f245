"""Closed forms against enumeration, and optimality within the KL ball."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from suites.oracle import truth
from suites.oracle.truth import expectation, kl, optimum, tilt


def small(seed: int, prompts: int = 3, responses: int = 5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.full(responses, 2.0), prompts) + 1e-9, rng.normal(size=(prompts, responses))


def test_win_matrix_equals_loops():
    mu, reward = small(0)
    wins = truth.win_matrix(mu, reward)
    for x in range(3):
        for y in range(5):
            expected = sum(mu[x, z] / (1 + math.exp(reward[x, z] - reward[x, y])) for z in range(5))
            assert wins[x, y] == pytest.approx(expected, rel=1e-12)


def test_mu_wins_half_against_itself(problem):
    assert expectation(problem.mu, problem.raw[0]) == pytest.approx(0.5, abs=1e-12)


def test_win_rate_agrees_with_simulated_users(world, problem):
    """100,000 users compare a draw from the DPO target with one from mu; ±4 standard errors."""
    rng = np.random.default_rng(5)
    rows = world.indices("test")
    reward = world.reward[rows]
    policy = truth.dpo_target(problem.mu, reward, 0.5)
    prompts = rng.integers(len(rows), size=100_000)

    def draw(p):
        return (np.cumsum(p, axis=1)[prompts] < rng.random((len(prompts), 1))).sum(axis=1)

    margin = reward[prompts, draw(policy)] - reward[prompts, draw(problem.mu)]
    wins = rng.random(len(prompts)) < 1 / (1 + np.exp(-margin))
    assert wins.mean() == pytest.approx(expectation(policy, problem.raw[0]), abs=4 * 0.5 / math.sqrt(100_000))


def test_kl_and_expectation_equal_loops():
    mu, value = small(1)
    policy, _ = small(2)
    policy[0, 0] = 0.0
    assert kl(policy, mu) == pytest.approx(
        sum(p * math.log(p / q) for p, q in zip(policy.ravel(), mu.ravel(), strict=True) if p) / 3, rel=1e-12
    )
    assert kl(mu, mu) == 0.0
    assert expectation(policy, value) == pytest.approx(
        sum(policy[x, y] * value[x, y] for x in range(3) for y in range(5)) / 3, rel=1e-12
    )


def test_tilt_maximises_the_regularised_objective():
    """Numerical maximisation over free policies (softmax logits) reaches the tilt and nothing better."""
    mu, reward = small(3)
    beta = 0.3

    def loss(logits):
        policy = tilt(np.ones((3, 5)), logits.reshape(3, 5))
        return beta * kl(policy, mu) - expectation(policy, reward)

    minimum = minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-9})
    target = truth.dpo_target(mu, reward, beta)
    assert beta * kl(target, mu) - expectation(target, reward) == pytest.approx(minimum.fun, abs=1e-9)
    np.testing.assert_allclose(tilt(np.ones((3, 5)), minimum.x.reshape(3, 5)), target, atol=1e-4)


@pytest.mark.parametrize("weight", [0.9, 0.4])
def test_targets_minimise_the_population_losses(weight):
    """DPO's and MODPO's expected losses over all pairs have their minimum at the stated targets."""
    mu, reward = small(4)
    designer = small(5)[1]
    pairs = mu[:, :, None] * mu[:, None, :]
    p_first = 1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None]))
    margin = designer[:, :, None] - designer[:, None, :]

    def loss(logits, w, aux):
        rho = np.log(tilt(np.ones((3, 5)), logits.reshape(3, 5)) / mu)
        logit = (0.5 * (rho[:, :, None] - rho[:, None, :]) - aux * margin) / w
        return (pairs * p_first * np.logaddexp(0, -logit)).sum()

    for w, aux, target in (
        (1.0, 0.0, truth.dpo_target(mu, reward, 0.5)),
        (weight, 1.0, truth.modpo_target(mu, reward, 0.5, weight, designer)),
    ):
        minimum = minimize(loss, np.zeros(15), args=(w, aux), method="BFGS", options={"gtol": 1e-9})
        np.testing.assert_allclose(tilt(np.ones((3, 5)), minimum.x.reshape(3, 5)), target, atol=2e-4)


def test_targets_meet_where_they_must():
    mu, reward = small(6)
    designer = small(7)[1]
    dpo = truth.dpo_target(mu, reward, 0.5)
    np.testing.assert_allclose(truth.modpo_target(mu, reward, 0.5, 1.0, np.zeros_like(mu)), dpo)
    np.testing.assert_allclose(truth.upo_target(mu, reward, 0.5, 0.0, designer), dpo)
    np.testing.assert_allclose(
        truth.upo_target(mu, reward, 0.5, 1.4, designer + 3.0), truth.upo_target(mu, reward, 0.5, 1.4, designer)
    )
    # the margin form of UPO is MODPO with alpha = w_aux / w and beta / w
    np.testing.assert_allclose(
        truth.modpo_target(mu, reward, 0.5, 0.4, 0.6 * designer),
        truth.upo_target(mu, reward, 0.5 / 0.4, 0.6 / 0.5, designer),
    )


@pytest.mark.parametrize("budget", [1e-6, 1e-3, 0.1, 0.7, 2.5])
@pytest.mark.parametrize("weights", [(1, 0, 0), (0.2, 0, 0.8), (0.3, 0.3, 0.4), (5.0, 2.0, 1.0)])
def test_budgets_are_met(problem, weights, budget):
    assert kl(optimum(problem.mu, problem.values, weights, budget), problem.mu) == pytest.approx(budget, rel=1e-8)


def test_a_budget_beyond_reach_gives_the_best_responses(problem):
    best = optimum(problem.mu, problem.values, (1.0, 0.0, 0.0), 1e3)
    assert expectation(best, problem.values[0]) == pytest.approx(problem.values[0].max(axis=1).mean(), abs=1e-12)
    clean = optimum(problem.mu, problem.values, (0.0, 1.0, 0.0), 1e3)  # ties: mu on the clean responses
    allowed = problem.values[1] == 1.0
    np.testing.assert_allclose(clean, tilt(problem.mu, np.where(allowed, 0.0, -1e9)), atol=1e-15)
    reach = kl(clean, problem.mu)
    almost = optimum(problem.mu, problem.values, (0.0, 1.0, 0.0), reach * (1 - 1e-9))
    assert kl(almost, problem.mu) <= reach and expectation(almost, problem.values[1]) == pytest.approx(1.0, abs=1e-6)


def test_no_budget_or_nothing_to_gain_is_mu(problem):
    assert optimum(problem.mu, problem.values, (1, 1, 1), 0.0) is problem.mu
    assert optimum(problem.mu, np.full_like(problem.values, 0.7), (1, 1, 1), 1.0) is problem.mu
    assert optimum(problem.mu, problem.values, (0, 0, 0), 1.0) is problem.mu


@pytest.mark.parametrize(("weights", "budget"), [((1, -0.1, 0), 1.0), ((1, 0, 0), -1.0)])
def test_negative_weights_and_budgets_are_refused(problem, weights, budget):
    with pytest.raises(ValueError, match="must not be negative"):
        optimum(problem.mu, problem.values, weights, budget)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.floats(1e-3, 2.0), st.floats(0.01, 1.0))
def test_nothing_in_the_ball_beats_the_optimum(seed, budget, weight):
    """Random policies and random neighbours of the optimum, drawn back towards mu until they fit the budget."""
    rng = np.random.default_rng(seed)
    mu = rng.dirichlet(np.ones(6), 3) + 1e-6
    mu /= mu.sum(axis=1, keepdims=True)
    values = rng.random((2, 3, 6))
    weights = (weight, 1.0 - weight)
    best = optimum(mu, values, weights, budget)
    value = np.tensordot(weights, values, 1)
    for rival in (
        rng.dirichlet(np.ones(6), 3),
        tilt(best + 1e-12, rng.normal(size=(3, 6))),
        tilt(best + 1e-12, 0.05 * rng.normal(size=(3, 6))),
    ):
        share = 1.0
        while kl(mu + share * (rival - mu), mu) > budget:
            share *= 0.95
        assert expectation(mu + share * (rival - mu), value) <= expectation(best, value) + 1e-9
