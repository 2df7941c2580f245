"""Gradients that determine the behaviour of a method, with the values that its paper or its algebra gives."""

from __future__ import annotations

import math

import pytest
import torch

from trainers.methods import create
from trainers.methods.ada_dpo import entropy_root
from trainers.methods.interface import MethodBatch


def slope(name, delta, rewards=None, **parameters) -> float:
    """d loss / d Δ of one pair with log-ratios (Δ, 0), one token each."""
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    logps = torch.tensor([[delta, 0.0]], dtype=torch.float64, requires_grad=True)
    rewards = None if rewards is None else torch.tensor([rewards], dtype=torch.float64)
    batch = MethodBatch(logps, zeros + 1, torch.tensor([[True, False]]), reference=zeros, rewards=rewards)
    create(name, **parameters).loss(batch).per_example.sum().backward()
    return logps.grad[0, 0].item()


@pytest.mark.parametrize(("w0", "scale"), [(0.9, 0.52), (0.5, 0.54), (0.1, 1.2e-3), (0.05, 1.1e-7)])
def test_modpo_falls_silent_where_reward_contradicts_the_label(w0, scale):
    """Δ = 0, ΔR = −1: σ(−(1 − w₀)/w₀)/w₀, in units of β. At ΔR = +1 it is about 1/w₀ instead."""
    against = -slope("modpo", 0.0, (0.0, 1.0), weight=1 - w0, beta=1.0)
    along = -slope("modpo", 0.0, (1.0, 0.0), weight=1 - w0, beta=1.0)
    assert against == pytest.approx(1 / (1 + math.exp((1 - w0) / w0)) / w0, rel=1e-9)
    assert against == pytest.approx(scale, rel=0.05)
    assert along == pytest.approx(1 / (1 + math.exp(-(1 - w0) / w0)) / w0, rel=1e-9)


@pytest.mark.parametrize(("z", "expected"), [(0.0, -2.5), (-5.0, -0.10), (-10.0, -9e-4)])
def test_exo_is_steep_at_the_start_and_vanishes_for_badly_wrong_pairs(z, expected):
    """σ(z)σ(−z)·(z − 10) with ε = σ(−10), in units of β."""
    value = slope("exo", z, beta=1.0)
    assert value == pytest.approx((z - 10) / (2 + 2 * math.cosh(z)), rel=1e-6)
    assert value == pytest.approx(expected, rel=0.02)


@pytest.mark.parametrize("z", [0.0, -5.0, -10.0])
def test_dpo_never_lets_go_of_a_wrong_pair(z):
    assert slope("dpo", z, beta=1.0) == pytest.approx(-1 / (1 + math.exp(z)), rel=1e-9)


@pytest.mark.parametrize(("rho", "root"), [(0.1, 0.943), (0.3, 1.870), (0.5, 2.983), (0.6, 3.957)])
def test_ada_dpo_turning_point(rho, root):
    assert entropy_root(rho) == pytest.approx(root, abs=5e-4)


@pytest.mark.parametrize("z", [0.3, 1.0, 2.5, -1.0])
@pytest.mark.parametrize("rho", [0.1, 0.3, 0.6])
def test_ada_dpo_scale_minimises_its_objective(rho, z):
    """τ* against a fine search of −τ·log(2σ(z/τ)) + ρτ over [0.1, 5]; ρ = 0.3, z = 1 gives 0.535."""
    tau = torch.linspace(0.1, 5, 200_001, dtype=torch.float64)
    objective = -tau * (math.log(2) + torch.nn.functional.logsigmoid(z / tau)) + rho * tau
    best = create("ada_dpo", rho=rho).scale(torch.tensor([z], dtype=torch.float64)).item()
    assert best == pytest.approx(tau[objective.argmin()].item(), abs=5e-5)


def test_ada_dpo_slope_is_constant_between_the_bounds():
    """σ(−z_ρ) for right pairs and σ(z_ρ) for wrong ones, whatever the size; ρ = 0.3, z_ρ = 1.870."""
    for z in (0.5, 1.0, 4.0):
        assert slope("ada_dpo", z, beta=1.0, rho=0.3) == pytest.approx(-1 / (1 + math.exp(1.8697)), abs=1e-5)
        assert slope("ada_dpo", -z, beta=1.0, rho=0.3) == pytest.approx(-1 / (1 + math.exp(-1.8697)), abs=1e-5)


def test_ada_dpo_slope_is_that_of_the_minimum():
    """By the envelope theorem: finite differences of the minimum over τ agree with the detached scale."""

    def minimum(z):
        tau = torch.linspace(0.1, 5, 2_000_001, dtype=torch.float64)
        return (-tau * (math.log(2) + torch.nn.functional.logsigmoid(z / tau)) + 0.3 * tau).min().item()

    difference = (minimum(1.01) - minimum(0.99)) / 0.02
    assert slope("ada_dpo", 1.0, beta=1.0, rho=0.3) == pytest.approx(difference, abs=1e-5)


def test_alpha_dpo_margin_is_a_constant_to_the_gradient(make_batch, gradient):
    """dL/dℓ_w = −β·σ(−z)/n_w: the margin moves the point, not the direction."""
    method = create("alpha_dpo", alpha=2.0)
    batch = make_batch(method)
    loss = method.loss(batch)
    pull = method.beta * torch.sigmoid(-loss.metrics["margin"]) / 6
    expected = torch.stack([-pull / batch.lengths[:, 0], pull / batch.lengths[:, 1]], dim=1)
    torch.testing.assert_close(gradient(method, batch), expected, rtol=0, atol=1e-12)


def test_a_lol_is_weighted_likelihood(make_batch, gradient):
    """dL/dℓ = −clip(e^ρ)·max(0, A)/2 per response; a response below its expectation is left alone."""
    method = create("a_lol", clip=0.5)
    batch = make_batch(method)
    ratio = batch.log_ratios.detach().exp().clamp(0.5, 1.5)
    advantage = batch.rewards - batch.values.detach()[:, None]
    expected = -ratio * advantage.clamp(min=0) / 2 / 6
    torch.testing.assert_close(gradient(method, batch), expected, rtol=0, atol=1e-12)
    assert (advantage < 0).any() and (gradient(method, batch)[advantage < 0] == 0).all()
    learned = method.loss(batch).metrics["learned_share"].mean().item()
    assert learned == pytest.approx((advantage > 0).double().mean().item())


def test_slic_and_hinge_leave_a_separated_pair_alone():
    assert slope("rso_hinge", 21.0) == 0 and slope("rso_hinge", 19.0) == pytest.approx(-0.05)
    assert slope("slic", 1.5, likelihood_weight=0.0) == 0 and slope("slic", 0.5, likelihood_weight=0.0) == -1


def test_orpo_odds_near_certainty(make_batch, gradient):
    """A response with log-probability 0 has unbounded odds: kept finite, in value and slope."""
    method = create("orpo")
    certain = torch.tensor([[0.0, -1e-9], [-1e-12, -900.0]])
    batch = make_batch(method, logps=certain, examples=2, dtype=torch.float32)
    assert method.loss(batch).per_example.isfinite().all() and gradient(method, batch).isfinite().all()


@pytest.mark.parametrize("name", ["a_lol", "a_lol_ref_free"])
def test_a_lol_value_is_taught_by_its_error_alone(name, make_batch):
    """dL/dV = −2·(R − V), a mean over a pair's two responses and six pairs: the advantage in the weight is detached."""
    batch = make_batch(create(name))
    create(name).loss(batch).per_example.mean().backward()
    error = batch.rewards - batch.values.detach()[:, None]
    torch.testing.assert_close(batch.values.grad, -2 * error.mean(dim=1) / 6, rtol=0, atol=1e-12)


def test_dro_v_teaches_policy_and_value_by_one_residual(make_batch, gradient):
    """dL/dℓ = −τ·residual/2, dL/dV = −mean residual."""
    method = create("dro_v", tau=0.5)
    batch = make_batch(method)
    residual = (batch.rewards - batch.values[:, None] - 0.5 * batch.log_ratios).detach()
    torch.testing.assert_close(gradient(method, batch), -0.5 * residual / 2 / 6, rtol=0, atol=1e-12)
    method.loss(batch).per_example.mean().backward()
    torch.testing.assert_close(batch.values.grad, -residual.mean(dim=1) / 6, rtol=0, atol=1e-12)


@pytest.mark.parametrize("responses", [1, 2])
def test_bco_shift_is_a_constant_to_the_gradient(responses, make_batch, gradient):
    """dL/dℓ = ∓β·σ(∓(βρ − δ)) per response, as of a classifier with a fixed threshold."""
    method = create("bco")
    batch = make_batch(method, responses=responses)
    implicit = 0.1 * batch.log_ratios.detach()
    sign = torch.where(batch.desirable, 1.0, -1.0).double()
    expected = -0.1 * sign * torch.sigmoid(-sign * (implicit - implicit.mean())) / responses / 6
    torch.testing.assert_close(gradient(method, batch), expected, rtol=0, atol=1e-12)


def test_wpo_weights_are_constants_to_the_gradient(make_batch, gradient):
    """dL/dlog π_t is DPO's times the weight, at every token of both responses."""
    method = create("wpo")
    batch = make_batch(method)
    loss = method.loss(batch)
    pull = 0.1 * torch.sigmoid(-loss.metrics["margin"]) * loss.metrics["weight"] / 6
    expected = torch.stack([-pull, pull], dim=1)[..., None].expand_as(batch.tokens.logps)
    torch.testing.assert_close(gradient(method, batch), expected, rtol=0, atol=1e-12)


def test_hypo_still_pulls_where_dpo_has_let_go():
    """Δ_ref = −8, Δ_θ = −4, β = 1: DPO's slope is σ(−4) = 0.018, HyPO's σ(4) = 0.982."""
    logps = torch.tensor([[-4.0, 0.0]], dtype=torch.float64, requires_grad=True)
    reference = torch.tensor([[-8.0, 0.0]], dtype=torch.float64)
    batch = MethodBatch(logps, torch.ones(1, 2), torch.tensor([[True, False]]), reference=reference)
    for name, expected in (("dpo", -0.017986), ("hypo", -0.982014)):
        (slope_of,) = torch.autograd.grad(create(name, beta=1.0).loss(batch).per_example.sum(), logps)
        assert slope_of[0, 0].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["apo_zero", "sppo"])
def test_anchored_losses_raise_the_chosen_and_lower_the_rejected_response(name, make_batch, gradient):
    """At the reference: dL/dρ = ∓β/4 for APO-zero, ∓1/β for SPPO; each over a batch of six."""
    method = create(name)
    level = torch.full((6, 2), -40.0, dtype=torch.float64)
    size = method.beta / 8 if name == "apo_zero" else 1 / method.beta
    expected = torch.tensor([[-size / 6, size / 6]], dtype=torch.float64).expand(6, 2)
    torch.testing.assert_close(gradient(method, make_batch(method, reference=level, logps=level)), expected)


def test_apo_down_lowers_both_likelihoods_once_the_pair_is_separated(make_batch, gradient):
    """dL/dρ_w = β(σ'(βρ_w) − σ'(βΔ)) and dL/dρ_l = βσ'(βΔ), σ' = σ(1 − σ)."""
    method = create("apo_down", beta=1.0)
    reference = torch.full((6, 2), -40.0, dtype=torch.float64)
    batch = make_batch(method, reference=reference, logps=reference + torch.tensor([[1.0, -2.0]]))
    slopes = [1 / (2 + 2 * math.cosh(x)) for x in (1.0, 3.0)]
    expected = torch.tensor([[slopes[0] - slopes[1], slopes[1]]], dtype=torch.float64).expand(6, 2) / 6
    torch.testing.assert_close(gradient(method, batch), expected)
    assert (expected > 0).all()
