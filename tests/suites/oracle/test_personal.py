"""Exact figures for users: identities of the regret, limits of the accuracy, and what a steering matrix shows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from suites.oracle import personal
from suites.oracle.population import Population, PopulationSpec, label_agreement
from suites.oracle.truth import kl, optimum, tilt, win_matrix


@pytest.fixture(scope="module")
def population(world) -> Population:
    return Population.build(world, PopulationSpec(seen=2, unseen=4, signed=True))


@pytest.fixture(scope="module")
def rows(world) -> np.ndarray:
    return world.indices("test")[:5]


def noisy(mu: np.ndarray, seed: int, noise: float) -> np.ndarray:
    return tilt(mu, noise * np.random.default_rng(seed).normal(size=mu.shape))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.0, 3.0), beta=st.floats(0.05, 3.0))
def test_regularised_regret_is_beta_times_the_kl_from_the_optimum(population, rows, seed, noise, beta):
    mu = population.world.mu[rows]
    reward = population.reward(population.weights_of("unseen-01"))[rows]
    policy = noisy(mu, seed, noise)
    lost = personal.regularised_value(tilt(mu, reward / beta), mu, reward, beta) - personal.regularised_value(
        policy, mu, reward, beta
    )
    assert personal.regularised_regret(policy, mu, reward, beta) == pytest.approx(lost, abs=1e-9)


def test_mean_regret_is_that_of_the_mean_reward_and_the_spread_of_rewards(population, rows):
    """For linear rewards: mean_i beta KL(pi || pi_i*) = beta KL(pi || tilt of the mean) + a term without pi."""
    mu, beta = population.world.mu[rows], 0.5
    rewards = [population.reward(population.weights_of(person))[rows] for person in population.unseen]
    centre = np.mean(rewards, axis=0)

    def spread(policy) -> float:
        mean = np.mean([personal.regularised_regret(policy, mu, reward, beta) for reward in rewards])
        return mean - personal.regularised_regret(policy, mu, centre, beta)

    first, second = spread(noisy(mu, 0, 1.0)), spread(tilt(mu, centre / beta))
    assert first == pytest.approx(second, abs=1e-9) and first > 0.05


@pytest.mark.parametrize("budget", [None, 1.0])
def test_the_user_s_optimum_has_no_regret_and_everything_else_some(population, rows, budget):
    mu = population.world.mu[rows]
    reward = population.reward(population.weights_of("unseen-00"))[rows]
    best = optimum(mu, win_matrix(mu, reward)[None], [1.0], 1.0)
    assert personal.regret(best, mu, reward, budget) == pytest.approx(0.0, abs=1e-7)
    assert personal.regret(noisy(mu, 1, 1.5), mu, reward, budget) > 0.05


def test_the_behaviour_policy_is_worth_a_half_to_everybody(population, rows):
    mu = population.world.mu[rows]
    for person in population.unseen:
        reward = population.reward(population.weights_of(person))[rows]
        assert personal.user_value(mu, mu, reward) == pytest.approx(0.5, abs=1e-12)


def test_accuracy_by_enumeration_of_all_pairs(population, rows):
    world = population.world
    mu, reward = world.mu[rows[:1]], population.reward(population.weights_of("unseen-02"))[rows[:1]]
    scores = np.random.default_rng(0).integers(0, 4, size=mu.shape).astype(float)
    total = agreed = 0.0
    for a in range(0, 256, 8):
        for b in range(0, 256, 8):
            if a != b:
                mass = mu[0, a] * mu[0, b]
                p = expit(reward[0, a] - reward[0, b])
                order = np.sign(scores[0, a] - scores[0, b])
                total += mass
                agreed += mass * (p if order > 0 else 1 - p if order < 0 else 0.5)
    some = np.arange(0, 256, 8)
    measured = personal.accuracy(scores[:, some], mu[:, some], reward[:, some])
    assert measured == pytest.approx(agreed / total, rel=1e-12)


def test_accuracy_is_a_half_for_nobody_s_order_and_highest_for_the_user_s_own(population, rows):
    mu, reward = population.world.mu[rows], population.reward(population.weights_of("unseen-00"))[rows]
    assert personal.accuracy(np.zeros_like(mu), mu, reward) == 0.5
    ceiling = personal.accuracy(reward, mu, reward)
    # Equal responses are no pair, so that the ceiling lies above the agreement of independent draws.
    assert label_agreement(mu, reward) < ceiling < label_agreement(mu, reward) + 0.02
    assert personal.accuracy(-reward, mu, reward) == pytest.approx(1.0 - ceiling, abs=1e-12)
    assert personal.accuracy(np.log(noisy(mu, 3, 1.0) / mu), mu, reward) < ceiling


def test_two_opposite_users_lie_on_the_diagonal_of_the_steering_matrix(population, rows):
    mu = population.world.mu[rows]
    rewards = [population.reward(population.weights_of(person))[rows] for person in ("manners", "-manners")]
    optima = [tilt(mu, reward / 0.5) for reward in rewards]
    matrix = personal.steering_matrix(optima, mu, rewards)
    assert matrix[0, 0] > 0.7 > 0.3 > matrix[0, 1] and matrix[1, 1] > 0.7
    # The opposite user's verdicts are the opposite verdicts.
    np.testing.assert_allclose(matrix.sum(axis=1), 1.0, rtol=1e-12)
    assert personal.steering_gain(matrix) > 0.4
    assert personal.steering_gain(personal.steering_matrix([mu, mu], mu, rewards)) == pytest.approx(0.0, abs=1e-12)


def test_a_matrix_of_one_user_has_no_gain():
    with pytest.raises(ValueError, match="two users"):
        personal.steering_gain(np.ones((1, 1)))


def test_the_range_of_a_taste_is_what_optima_of_both_signs_reach(population, rows):
    mu, taste = population.world.mu[rows], population.tastes[0][rows]
    optima = [tilt(mu, sign * taste) for sign in (1.0, -1.0)]
    assert personal.taste_range([mu, mu], taste) == 0.0
    assert personal.taste_range(optima, taste) > personal.taste_range([mu, optima[0]], taste) > 0.5
    assert kl(optima[0], mu) > 0.1
