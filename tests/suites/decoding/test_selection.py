"""Choice among n samples: exact laws, their limits and bounds, and agreement with sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.decoding.kinds.best_of_n import BestOfN
from suites.decoding.kinds.soft_best_of_n import SoftBestOfN
from suites.oracle.truth import kl, tilt, win_matrix

SMALL = np.array([[0.5, 0.2, 0.2, 0.1]]), np.array([[0.3, 1.0, 1.0, -0.5]])


def by_enumeration(kind, policy, reward, n: int) -> np.ndarray:
    """The law from all n-tuples; equal rewards share by the softmax, or equally for the best."""
    law = np.zeros_like(policy[0])
    for sample in itertools.product(range(policy.shape[1]), repeat=n):
        rewards = reward[0][list(sample)]
        if isinstance(kind, BestOfN):
            share = (rewards == rewards.max()) / (rewards == rewards.max()).sum()
        else:
            share = np.exp(rewards / kind.temperature) / np.exp(rewards / kind.temperature).sum()
        for place, p in zip(sample, share, strict=True):
            law[place] += policy[0][list(sample)].prod() * p
    return law


@pytest.mark.parametrize("n", [1, 2, 3, 4])
@pytest.mark.parametrize("make", [BestOfN, lambda n: SoftBestOfN(n, 0.7)])
def test_the_law_is_that_of_all_tuples(make, n):
    np.testing.assert_allclose(make(n).law(*SMALL)[0], by_enumeration(make(n), *SMALL, n), atol=1e-9)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 32))
def test_best_of_n_keeps_its_bounds(seed, n):
    rng = np.random.default_rng(seed)
    policy, reward = rng.dirichlet(np.ones(12), 3), rng.normal(size=(3, 12))
    law = BestOfN(n).law(policy, reward)
    np.testing.assert_allclose(law.sum(axis=1), 1.0, rtol=1e-12)
    assert kl(law, policy) <= np.log(n) - (n - 1) / n + 1e-12
    # The win rate by the reward's own order, ties counting as half.
    wins = 0.5 + 0.5 * np.sign(reward[:, :, None] - reward[:, None, :])
    rate = np.einsum("py,pyz,pz->p", law, wins, policy)
    assert rate.max() <= n / (n + 1) + 1e-12


def test_one_sample_is_the_policy():
    policy, reward = SMALL
    np.testing.assert_allclose(BestOfN(1).law(policy, reward), policy, rtol=1e-12)
    np.testing.assert_allclose(SoftBestOfN(1, 0.5).law(policy, reward), policy, rtol=1e-9)


def test_soft_best_of_many_is_the_tilt():
    policy, reward = SMALL
    target = tilt(policy, reward / 0.5)
    errors = [np.abs(SoftBestOfN(n, 0.5).law(policy, reward) - target).max() for n in (10, 100, 1000)]
    assert errors[0] > 5 * errors[1] > 25 * errors[2] and errors[2] < 1e-3


def test_a_cold_soft_choice_is_the_best():
    policy, reward = np.array([[0.4, 0.35, 0.25]]), np.array([[0.0, 1.0, 2.0]])
    np.testing.assert_allclose(SoftBestOfN(3, 0.02).law(policy, reward), BestOfN(3).law(policy, reward), atol=1e-6)


@pytest.mark.parametrize("kind", [BestOfN(3), SoftBestOfN(3, 0.5)])
def test_text_off_the_enumeration_is_returned_only_where_every_sample_is(kind):
    policy, reward = SMALL
    law = kind.law(0.9 * policy, reward)
    assert law.sum() == pytest.approx(1.0 - 0.1**3, abs=1e-9)


@pytest.mark.parametrize("kind", [BestOfN(4), SoftBestOfN(4, 0.5)])
def test_picking_follows_the_law(kind):
    rng = np.random.default_rng(0)
    policy, reward = SMALL
    samples = rng.choice(4, size=(20_000, 4), p=policy[0])
    chosen = [row[kind.pick(reward[0][row], u)] for row, u in zip(samples, rng.random(len(samples)), strict=True)]
    law = kind.law(policy, reward)[0]
    error = (np.bincount(chosen, minlength=4) - len(samples) * law) / np.sqrt(len(samples) * law * (1 - law))
    assert np.abs(error).max() < 4


def test_more_samples_are_worth_more_to_the_user(world):
    rows = world.indices("test")[:3]
    mu, reward = world.mu[rows], world.reward[rows]
    wins = win_matrix(mu, reward)
    values = [float((BestOfN(n).law(mu, reward) * wins).sum() / 3) for n in (1, 2, 4, 16)]
    assert values[0] == pytest.approx(0.5, abs=1e-12) and values == sorted(values)


@pytest.mark.parametrize("make", [lambda: BestOfN(0), lambda: SoftBestOfN(0), lambda: SoftBestOfN(2, 0.0)])
def test_senseless_settings_are_refused(make):
    with pytest.raises(ValueError, match=r"n must be|temperature"):
        make()
