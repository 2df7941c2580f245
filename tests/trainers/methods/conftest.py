"""Batches that hold exactly what a method declares to need."""

from __future__ import annotations

import pytest
import torch

from trainers.scores import Scores


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
        "rewards": uniform(examples, columns) if needs.rewards else None,
        "values": uniform(examples).requires_grad_() if needs.values else None,
        "embeddings": normal(examples, 5) if needs.embeddings else None,
        "step": step,
        **given,
    }
    fields["logps"] = fields["logps"].detach().clone().requires_grad_()
    return Scores(**fields)


@pytest.fixture
def batch():
    return make_batch


def gradient_of(method, scores: Scores) -> torch.Tensor:
    """Gradient of the batch mean with respect to the SUM log-probs."""
    (gradient,) = torch.autograd.grad(method.loss(scores).per_example.mean(), scores.logps)
    return gradient


@pytest.fixture
def gradient():
    return gradient_of
