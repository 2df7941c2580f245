"""Batches that hold exactly what a method declares to need."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainers.scores import Scores, Tokens


def make_batch(method, examples=6, responses=None, seed=0, dtype=torch.float64, step=1000, **given) -> Scores:
    """A seeded random batch for `method`; `given` replaces fields."""
    needs = method.needs
    columns = 3 if needs.base_responses else responses or 2
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator, dtype=torch.float64).to(dtype)

    lengths = torch.randint(4, 20, (examples, columns), generator=generator).to(dtype)
    desirable = torch.arange(columns).expand(examples, columns) == 0
    if columns == 1:
        desirable = torch.arange(examples)[:, None] % 2 == 0
    fields = {
        "logps": -40 + 3 * normal(examples, columns),
        "lengths": lengths,
        "desirable": desirable,
        "reference": -40 + 3 * normal(examples, columns) if needs.references == 1 else None,
        "references": -40 + 3 * normal(needs.references, examples, columns) if needs.references > 1 else None,
        "mismatched": -40 + 3 * normal(examples) if needs.mismatched else None,
        "mismatched_reference": -42 + 3 * normal(examples) if needs.mismatched else None,
        "rewards": uniform(examples, columns) if needs.rewards or needs.on_policy else None,
        "values": uniform(examples).requires_grad_() if needs.values else None,
        "embeddings": normal(examples, 5) if needs.embeddings else None,
        "degree_logits": normal(examples, columns, needs.degrees) if needs.degrees else None,
        "degrees": torch.randint(needs.degrees, (examples, columns), generator=generator) if needs.degrees else None,
        "step": step,
        **given,
    }
    fields["logps"] = fields["logps"].detach().clone().requires_grad_()
    scores = Scores(**fields)
    return with_tokens(scores, method, generator) if needs.token_level else scores


def with_tokens(scores: Scores, method, generator: torch.Generator) -> Scores:
    """The same sums laid out unevenly over tokens; where there is a value head, a value for each."""
    inside = torch.arange(int(scores.lengths.max())) < scores.lengths[..., None]

    def spread(sums):
        noise = torch.rand(inside.shape, generator=generator, dtype=torch.float64).to(sums.dtype) * inside
        return sums.detach()[..., None] * noise / noise.sum(-1, keepdim=True)

    logps = spread(scores.logps).requires_grad_()
    reference = None if scores.reference is None else spread(scores.reference)
    behaviour = spread(scores.logps + 0.1) if method.needs.on_policy else None
    values = None
    if method.needs.values:
        values = torch.rand(inside.shape, generator=generator, dtype=torch.float64).to(logps.dtype).requires_grad_()
    return with_token_logps(replace(scores, tokens=Tokens(logps, inside, reference, behaviour, values)), logps)


def with_token_logps(scores: Scores, logps: torch.Tensor) -> Scores:
    return replace(scores, tokens=replace(scores.tokens, logps=logps), logps=logps.sum(-1))


def policy_of(scores: Scores) -> torch.Tensor:
    """What the policy's gradient comes through: log-probs per response or, where there are any, per token."""
    return scores.logps if scores.tokens is None else scores.tokens.logps


@pytest.fixture
def batch():
    return make_batch


def gradient_of(method, scores: Scores) -> torch.Tensor:
    """Gradient of the batch mean with respect to the SUM log-probs, or those of the tokens."""
    (gradient,) = torch.autograd.grad(method.loss(scores).per_example.mean(), policy_of(scores))
    return gradient


@pytest.fixture
def gradient():
    return gradient_of
