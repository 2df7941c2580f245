"""Batches that hold exactly the inputs that a method declares."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from trainers.methods.interface import MethodBatch, Tokens


def make_batch(method, examples=6, responses=None, seed=0, dtype=torch.float64, step=1000, **given) -> MethodBatch:
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
        "task_outputs": normal(examples, columns, needs.task.bins) if needs.task else None,
        "task_labels": torch.randint(needs.task.bins, (examples, columns), generator=generator) if needs.task else None,
        "objective_rewards": uniform(examples, columns, 3) if needs.objective_rewards else None,
        "objective_weights": (torch.tensor([1.0, 0.5, 2.0]).expand(examples, 3) if needs.objective_rewards else None),
        "step": step,
        **given,
    }
    fields["logps"] = fields["logps"].detach().clone().requires_grad_()
    batch = MethodBatch(**fields)
    return with_tokens(batch, method, generator) if needs.token_level else batch


def with_tokens(batch: MethodBatch, method, generator: torch.Generator) -> MethodBatch:
    """The same sums laid out unevenly over tokens; where there is a value head, a value for each."""
    inside = torch.arange(int(batch.lengths.max())) < batch.lengths[..., None]

    def spread(sums):
        noise = torch.rand(inside.shape, generator=generator, dtype=torch.float64).to(sums.dtype) * inside
        return sums.detach()[..., None] * noise / noise.sum(-1, keepdim=True)

    logps = spread(batch.logps).requires_grad_()
    reference = None if batch.reference is None else spread(batch.reference)
    behaviour = spread(batch.logps + 0.1) if method.needs.on_policy else None
    values = None
    if method.needs.values:
        values = torch.rand(inside.shape, generator=generator, dtype=torch.float64).to(logps.dtype).requires_grad_()
    collision = spread(-batch.lengths) if method.needs.collision else None
    tokens = Tokens(logps, inside, reference, behaviour, values, collision)
    return with_token_logps(replace(batch, tokens=tokens), logps)


def with_token_logps(batch: MethodBatch, logps: torch.Tensor) -> MethodBatch:
    return replace(batch, tokens=replace(batch.tokens, logps=logps), logps=logps.sum(-1))


def policy_of(batch: MethodBatch) -> torch.Tensor:
    """What the policy's gradient comes through: log-probs per response or, where there are any, per token."""
    return batch.logps if batch.tokens is None else batch.tokens.logps


@pytest.fixture(name="make_batch")
def batch_fixture():
    return make_batch


def gradient_of(method, batch: MethodBatch) -> torch.Tensor:
    """Gradient of the batch mean with respect to the SUM log-probs, or those of the tokens."""
    (gradient,) = torch.autograd.grad(method.loss(batch).per_example.mean(), policy_of(batch))
    return gradient


@pytest.fixture
def gradient():
    return gradient_of
