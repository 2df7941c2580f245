"""The policies at the minima of population losses, against closed forms and first-order conditions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from harness.inputs.population_target import derivation_target, expectile, pairs, population_target, singles, why_not
from suites.oracle.truth import tilt
from trainers.methods import create, methods

RNG = np.random.default_rng(0)
MU = RNG.dirichlet(np.full(12, 2.0), 2)
REWARD = RNG.normal(size=(2, 12))
DESIGNER = RNG.random((2, 12))
LENGTHS = RNG.integers(3, 20, (2, 12))


def target(name: str, **parameters) -> np.ndarray:
    minimum = population_target(create(name, **parameters), MU, REWARD, DESIGNER, LENGTHS)
    assert minimum.stationary.all()
    np.testing.assert_allclose(minimum.policy.sum(axis=1), 1)
    return minimum.policy


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("dpo", {"beta": 0.3}), ("dpo", {"beta": 1.0}), ("modpo", {"beta": 0.5, "weight": 0.4}),
     ("upo", {"gamma": 0.0, "base": "modpo", "base_parameters": {"beta": 0.5, "weight": 0.4}})],
)  # fmt: skip
def test_a_closed_form_is_recovered(name, parameters):
    method = create(name, **parameters)
    derived = derivation_target(
        getattr(method, "preference", method) if name == "upo" else method, MU, REWARD, DESIGNER
    )
    np.testing.assert_allclose(target(name, **parameters), derived, atol=1e-5)


def test_the_margin_of_upo_is_modpos_optimum():
    """βρ − αR fits r_p: π ∝ μ·exp((r_p + αR)/β)."""
    margin = {
        "gamma": 0.0,
        "aux_margin_in_preference": True,
        "alpha": 0.7,
        "base": "dpo",
        "base_parameters": {"beta": 0.5},
    }
    np.testing.assert_allclose(target("upo", **margin), tilt(MU, (REWARD + 0.7 * DESIGNER) / 0.5), atol=1e-5)


def test_sft_is_the_chosen_responses_distribution():
    """SUM likelihood: π(y) is the probability that y is chosen."""
    for prompt in range(2):
        responses, labels, mass = singles(*pairs(MU[prompt], REWARD[prompt]))
        chosen = mass[labels[:, 0]]
        assert mass.sum() == pytest.approx(1) and chosen.sum() == pytest.approx(0.5)
        np.testing.assert_allclose(target("sft", average=False)[prompt], 2 * chosen, atol=1e-5)
        assert np.array_equal(responses[:, 0], [*range(12), *range(12)])


def test_pairs_have_bradley_terry_probabilities():
    responses, _, probability = pairs(MU[0], REWARD[0])
    both = {tuple(pair): p for pair, p in zip(responses.tolist(), probability, strict=True)}
    assert probability.sum() == pytest.approx(1) and len(both) == 12 * 11
    for (chosen, rejected), p in both.items():
        odds = expit(REWARD[0, chosen] - REWARD[0, rejected])
        assert p / (p + both[rejected, chosen]) == pytest.approx(odds)


def test_weighted_likelihood_alone_is_a_tilt_by_rewards_and_lengths():
    """With a base that does not learn here, E_μ[e^{λA}·(−ℓ/n)] is least at π ∝ μ·e^{λR}/n, whatever V."""
    silent = {"base": "kto", "base_parameters": {"desirable_weight": 0.0, "undesirable_weight": 0.0}}
    policy = target("upo", gamma=1.0, inverse_temperature=3.0, **silent)
    seen = np.array([2 * np.bincount(*_marginal(prompt)) / 2 for prompt in range(2)])
    expected = seen * np.exp(3.0 * DESIGNER) / LENGTHS
    np.testing.assert_allclose(policy, expected / expected.sum(axis=1, keepdims=True), atol=1e-5)


def _marginal(prompt: int) -> tuple[np.ndarray, np.ndarray]:
    responses, _, probability = pairs(MU[prompt], REWARD[prompt])
    return responses.flatten(), np.repeat(probability, 2)


def test_ktos_minimum_meets_its_first_order_condition():
    """With z₀ = 0 the gradient of −Σ_y (c_y − u_y)·σ(βρ_y) over normalised policies vanishes: g − π·Σg = 0."""
    beta, policy = 0.5, target("kto", beta=0.5)
    for prompt in range(2):
        _, labels, mass = singles(*pairs(MU[prompt], REWARD[prompt]))
        chosen, rejected = mass[labels[:, 0]], mass[~labels[:, 0]]
        s = expit(beta * np.log(policy[prompt] / MU[prompt]))
        slope = (chosen - rejected) * beta * s * (1 - s)
        np.testing.assert_allclose(slope - policy[prompt] * slope.sum(), 0, atol=1e-5)


@pytest.mark.parametrize("tau", [0.1, 0.5, 0.7])
def test_expectile(tau):
    value = expectile(DESIGNER[0], MU[0], tau)
    error = DESIGNER[0] - value
    assert (MU[0] * np.abs(tau - (error < 0)) * error).sum() == pytest.approx(0, abs=1e-12)
    if tau == 0.5:
        assert value == pytest.approx(MU[0] @ DESIGNER[0])


@pytest.mark.parametrize("name", list(methods()))
def test_every_method_has_a_target_or_says_why_not(name):
    method = create(name)
    if reason := why_not(method):
        with pytest.raises(ValueError, match="has no population target"):
            population_target(method, MU, REWARD, DESIGNER, LENGTHS)
        assert reason
        return
    policy = population_target(method, MU[:1], REWARD[:1], DESIGNER[:1], LENGTHS[:1]).policy
    assert np.isfinite(policy).all() and policy.sum() == pytest.approx(1)
