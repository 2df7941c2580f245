"""KTO's baseline and weights."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainers.methods import create
from trainers.methods.interface import MethodBatch
from trainers.methods.kto import kl_baseline


def test_golden_value():
    """Two unpaired examples, β = 0.5. Mismatched log-ratios (3, −1): z₀ = 1.

    Desirable with ρ = 2: σ(−0.5·(2 − 1)) = σ(−0.5) = 0.377541. Undesirable with ρ = −2, weight 1.5:
    1.5·σ(−0.5·(1 + 2)) = 1.5·σ(−1.5) = 1.5·0.182426 = 0.273638.
    """
    batch = MethodBatch(
        logps=torch.tensor([[-2.0], [-6.0]]),
        lengths=torch.tensor([[3.0], [3.0]]),
        desirable=torch.tensor([[True], [False]]),
        reference=torch.tensor([[-4.0], [-4.0]]),
        mismatched=torch.tensor([-7.0, -11.0]),
        mismatched_reference=torch.tensor([-10.0, -10.0]),
    )
    losses = create("kto", beta=0.5, undesirable_weight=1.5).loss(batch).per_example
    assert losses.tolist() == pytest.approx([0.377541, 0.273638], abs=1e-6)


def test_a_pair_is_the_mean_of_its_two_singletons(make_batch):
    kto = create("kto")
    paired = make_batch(kto)
    column = [
        replace(paired, **{n: getattr(paired, n)[:, k : k + 1] for n in ("logps", "lengths", "desirable", "reference")})
        for k in (0, 1)
    ]
    singletons = sum(kto.loss(batch).per_example for batch in column) / 2
    torch.testing.assert_close(kto.loss(paired).per_example, singletons, rtol=0, atol=1e-12)


def test_baseline_is_clamped_at_zero_detached_and_zero_without_mismatch(make_batch):
    kto = create("kto")
    batch = make_batch(kto)
    low = replace(batch, mismatched=batch.mismatched_reference - 3)
    assert kl_baseline(low).item() == 0
    attached = replace(batch, mismatched=(batch.mismatched_reference + 2).requires_grad_())
    kto.loss(attached).per_example.mean().backward()
    assert kl_baseline(attached).item() == pytest.approx(2) and attached.mismatched.grad is None
    alone = make_batch(kto, examples=1, mismatched=None, mismatched_reference=None)
    assert kl_baseline(alone).item() == 0


def test_gradient_is_at_most_a_quarter_of_beta_and_fades_both_ways(make_batch, gradient):
    """dL/dρ = −β·σ(g)·σ(−g): β/4 at the baseline, symmetric around it."""
    kto = create("kto", beta=0.4)
    held = torch.zeros(3, 1, dtype=torch.float64)
    batch = make_batch(
        kto, examples=3, responses=1, logps=torch.tensor([[0.0], [5.0], [-5.0]]).double(), reference=held,
        mismatched=held[:, 0], mismatched_reference=held[:, 0], desirable=held == 0,
    )  # fmt: skip
    slope = 3 * gradient(kto, batch)[:, 0]
    expected = [-0.4 * (1 / (1 + math.exp(-0.4 * r))) * (1 / (1 + math.exp(0.4 * r))) for r in (0, 5, -5)]
    assert slope.tolist() == pytest.approx(expected, abs=1e-12)
