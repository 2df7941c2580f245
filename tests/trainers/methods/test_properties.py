"""Property tests of the small functions."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from trainers.methods.ada_dpo import entropy_root
from trainers.methods.alpha_dpo import standardised
from trainers.methods.auxiliary import effective_sample_size, expectile
from trainers.methods.mrpo import harmonic_mean
from trainers.methods.orpo import log_odds
from trainers.methods.terms import cross_entropy, hinge, logistic, reverse_kl, smoothed_logistic

reals = st.floats(-1e3, 1e3)
vectors = st.lists(reals, min_size=2, max_size=6).map(lambda values: torch.tensor(values, dtype=torch.float64))


@given(reals, st.floats(0, 0.5))
def test_logistic_losses_bound_the_hinge_and_split_the_logit(z, epsilon):
    """L(z) − L(−z) = −z, L ≥ max(0, −z), and smoothing moves the loss by ε·z."""
    z = torch.tensor(z, dtype=torch.float64)
    assert (logistic(z) - logistic(-z)).item() == pytest.approx(-z.item(), abs=1e-9)
    assert logistic(z) >= hinge(z, margin=0.0)
    assert (smoothed_logistic(z, epsilon) - logistic(z)).item() == pytest.approx(epsilon * z.item(), abs=1e-9)


@given(vectors, st.randoms(use_true_random=False))
def test_both_divergences_are_smallest_at_the_target(batch, random):
    """Gibbs: KL(q, p) ≥ 0 = KL(p, p), CE(p, q) ≥ CE(p, p)."""
    log_p = torch.log_softmax(batch / 100, dim=0)
    log_q = torch.log_softmax(torch.tensor([random.uniform(-9, 9) for _ in batch], dtype=torch.float64), dim=0)
    assert reverse_kl(log_p, log_p).item() == 0 and reverse_kl(log_q, log_p).item() >= -1e-12
    assert cross_entropy(log_p.exp(), log_q) >= cross_entropy(log_p.exp(), log_p) - 1e-12


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=8), st.floats(1e-3, 1e3))
def test_effective_sample_size_lies_between_one_and_all_and_ignores_scale(weights, scale):
    log_weights = torch.tensor(weights, dtype=torch.float64).log()
    size = effective_sample_size(log_weights).item()
    assert size == pytest.approx(sum(weights) ** 2 / sum(w * w for w in weights), rel=1e-9)
    assert 1 - 1e-9 <= size <= len(weights) + 1e-9
    assert effective_sample_size(math.log(scale) + log_weights).item() == pytest.approx(size, rel=1e-9)


@given(reals, st.floats(0.01, 0.99))
def test_expectile_mirrors(error, tau):
    error = torch.tensor(error, dtype=torch.float64)
    assert expectile(error, tau).item() == pytest.approx(expectile(-error, 1 - tau).item(), rel=1e-9, abs=1e-12)
    assert expectile(error, 0.5).item() == 0.5 * error.square().item()


@given(vectors, st.floats(1e-3, 1e3), reals)
def test_standardised_ignores_shift_and_scale(x, scale, shift):
    if x.std() > 1:
        torch.testing.assert_close(standardised(x), standardised(x + shift), rtol=0, atol=1e-6)
        assert standardised(x).std().item() == pytest.approx(1)
        assert standardised(x).mean().item() == pytest.approx(0, abs=1e-9)
    assert standardised(torch.full_like(x, shift)).abs().max().item() < 1e-3


@given(reals, reals, st.floats(0, 1))
def test_harmonic_mean_lies_between_its_references(first, second, weight):
    pair = torch.tensor([first, second, weight], dtype=torch.float64)
    mixed = harmonic_mean(*pair).item()
    assert min(first, second) - 1e-9 <= mixed <= max(first, second) + 1e-9
    assert harmonic_mean(*pair[:2], torch.zeros(())).item() == first
    assert harmonic_mean(*pair[:2], torch.ones(())).item() == second


@given(st.floats(-50, -1e-5))
def test_log_odds_inverts_the_logistic(logp):
    logp = torch.tensor(logp, dtype=torch.float64)
    assert torch.nn.functional.logsigmoid(log_odds(logp)).item() == pytest.approx(logp.item(), rel=1e-6)


@given(st.floats(1e-4, 0.69))
def test_entropy_root_solves_its_equation(rho):
    p = 1 / (1 + math.exp(-entropy_root(rho)))
    entropy = -p * math.log(p) - (1 - p) * math.log1p(-p) if p < 1 else 0.0
    assert entropy == pytest.approx(math.log(2) - rho, abs=1e-8)
