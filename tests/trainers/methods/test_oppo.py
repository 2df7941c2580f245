"""Offline PPO: advantages, loss and gradient computed by hand."""

from __future__ import annotations

import math

import pytest
import torch

from trainers.methods import create
from trainers.methods.interface import MethodBatch, Tokens
from trainers.methods.token_terms import discounted, generalised_advantages, whiten

MASK = torch.tensor([[[True, True], [True, False]]])


def pair(logps=None, rewards=None) -> MethodBatch:
    """A chosen response of two tokens with ratios 3 and 3/2, a rejected one of one token with ratio 1/4."""
    reference = torch.tensor([[[-2.0, -3.0], [-1.0, 0.0]]], dtype=torch.float64)
    if logps is None:
        logps = reference + torch.tensor([[[3.0, 1.5], [0.25, 1.0]]], dtype=torch.float64).log()
    values = torch.tensor([[[0.5, 0.25], [0.5, 9.0]]], dtype=torch.float64)
    tokens = Tokens(logps, MASK, reference, values=values.requires_grad_())
    lengths = MASK.sum(-1).to(logps.dtype)
    return MethodBatch(
        logps.sum(-1), lengths, torch.tensor([[True, False]]), reference.sum(-1),
        values=values[:, 0, 0], tokens=tokens, rewards=rewards,
    )  # fmt: skip


def test_golden():
    """γ = λ = ½, V = (½, ¼) and ½, r = +1 and −1 on the last tokens.

    δ = (½·¼ − ½, 1 − ¼) = (−0.375, 0.75) and −1 − ½ = −1.5; Â = (−0.375 + ¼·0.75, 0.75) = (−0.1875, 0.75) and
    −1.5. Mean −0.3125, variance (0.125² + 1.0625² + 1.1875²)/3 = 0.851563: A = (0.135457, 1.151384), −1.286842.
    Ratios (3, 1.5) and ¼, clipped to [½, 2]: −2·0.135457 − 1.5·1.151384 + ½·1.286842 = −1.354569.
    G = (1, 0) and 0: ½(0.25 + 0.0625 + 0.25) = 0.28125. Log-ratios sum to log(9/8) = 0.117783.
    (−1.354569 + 0.01·0.28125 − 0.1·0.117783)/3 = −0.454512.
    """
    loss = create("oppo", discount=0.5, trace=0.5).loss(pair())
    assert loss.per_example.tolist() == [pytest.approx(-0.454512, abs=1e-6)]
    assert loss.metrics["clipped_share"].item() == pytest.approx(2 / 3)


def test_the_policys_gradient_by_hand():
    """Within the clip −A·q, outside it nothing, and the pull −c_KL, each a third: γ, λ and A as above."""
    logps = pair().tokens.logps.detach().requires_grad_()
    create("oppo", discount=0.5, trace=0.5).loss(pair(logps)).per_example.sum().backward()
    expected = [(0 - 0.1) / 3, (-1.5 * 1.151384 - 0.1) / 3, (0 - 0.1) / 3, 0.0]
    assert logps.grad.flatten().tolist() == pytest.approx(expected, abs=1e-6)


def test_the_value_head_is_taught_what_comes_after_the_token():
    """∂L/∂V = c_V(V − G)/3 with G = (1, 0) and 0, and nothing from the advantage."""
    batch = pair()
    create("oppo", value_coefficient=3.0).loss(batch).per_example.sum().backward()
    assert batch.tokens.values.grad.flatten().tolist() == pytest.approx([-0.5, 0.25, 0.5, 0.0], abs=1e-12)


def test_designer_rewards_are_added_to_the_label():
    """Label ±1 and R = (0, 2): both end with +1, as if both were desirable; with w = 0 it is `oppo`."""
    rewards = torch.tensor([[0.0, 2.0]], dtype=torch.float64)
    batch = pair(rewards=rewards)
    both = MethodBatch(**{**vars(batch), "desirable": torch.tensor([[True, True]])})
    assert torch.equal(create("aoppo").loss(batch).per_example, create("oppo").loss(both).per_example)
    assert torch.equal(create("aoppo", weight=0.0).loss(batch).per_example, create("oppo").loss(batch).per_example)


@pytest.mark.parametrize(("discount", "trace"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
def test_advantages_follow_the_recursion(discount, trace):
    """Â_t = δ_t + γλ·Â_{t+1} on responses of 7, 1 and 4 tokens; γ = λ = 1 is the return less V, λ = 0 is δ."""
    g = torch.Generator().manual_seed(3)
    mask = torch.arange(7) < torch.tensor([[7, 1, 4]])[..., None]
    values, rewards = torch.randn(2, 1, 3, 7, generator=g, dtype=torch.float64)
    rewards = rewards * mask
    advantages = generalised_advantages(rewards, Tokens(values, mask, values=values), discount, trace)
    for k, length in enumerate((7, 1, 4)):
        advantage, following = 0.0, 0.0
        for t in reversed(range(length)):
            value = values[0, k, t].item()
            advantage = rewards[0, k, t].item() + discount * following - value + discount * trace * advantage
            following = value
            assert advantages[0, k, t].item() == pytest.approx(advantage, abs=1e-12)
        assert advantages[0, k, length:].abs().sum() == 0
    if discount == trace == 1:
        torch.testing.assert_close(advantages, (discounted(rewards, 1.0) - values) * mask)


def test_whitened_advantages_have_mean_zero_and_variance_one():
    x = torch.randn(5, 2, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask = torch.arange(9) < torch.tensor([3, 9, 1, 5, 2])[:, None, None]
    mask = mask.expand(5, 2, 9)
    white = whiten(x, mask)
    assert white[mask].mean().item() == pytest.approx(0, abs=1e-12)
    assert white[mask].var(unbiased=False).item() == pytest.approx(1, abs=1e-6)
    assert whiten(torch.full_like(x, 4.2), mask).abs().max() < 1e-6


def test_an_importance_ratio_beyond_all_bounds_keeps_its_direction():
    """A bad token that is a thousand nats more likely than before: the loss is finite and pushes it down."""
    logps = torch.tensor([[[-2.0, -3.0], [999.0, 0.0]]], dtype=torch.float32).requires_grad_()
    loss = create("oppo").loss(pair(logps))
    loss.per_example.sum().backward()
    assert loss.per_example.isfinite().all() and math.isfinite(logps.grad[0, 1, 0].item())
    assert logps.grad[0, 1, 0] > 1e6
