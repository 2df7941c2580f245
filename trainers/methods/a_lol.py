"""Advantage-Leftover-Lunch reinforcement learning."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_choices, check_ranges
from trainers.methods.auxiliary import VALUE_FITS
from trainers.methods.interface import Loss, MethodBatch, Needs, ValueFit
from trainers.methods.registry import register


@register("a_lol")
@dataclass(frozen=True)
class ALoL:
    """Advantage-Leftover-Lunch RL.

    Name: A-LoL
    Formula: −sg[clip(exp ρ, 1 − ε, 1 + ε)]·max(0, A)·ℓ + c_V·(R − V)², A = R − V(x) with V detached, a mean
        over responses; SUM log-probs.
    Source: arXiv 2305.14718 and the authors' code.
    From memory: nothing.
    Cost: 1, and a value head.

    The whole response is one action, and only responses better than expected are learned. The authors fit V
    beforehand on samples of the reference, and besides weighting by A draw responses in proportion to it; here V is
    fitted beforehand to the rewards of the data set's responses, goes on learning beside the policy, and responses are
    drawn evenly. With V near 0 every response would count as better than expected.

    Parameters
    ----------
    clip : float, in (0, 1)
        ε, how far the importance ratio counts.
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    value_fit : {"before", "beside"}
        Fit V before the first step, as the authors do, or let it learn beside the policy only.
    """

    clip: float = 0.9
    value_coefficient: float = 1.0
    value_fit: str = "before"

    sweep: ClassVar[str | None] = "clip"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, clip="(0, 1)", value_coefficient="[0, inf)")
        check_choices(self, value_fit=VALUE_FITS)

    @property
    def needs(self) -> Needs:
        return Needs(pairs=False, references=1, rewards=True, values=True, value_fit=mean_fit(self.value_fit))

    def loss(self, batch: MethodBatch) -> Loss:
        low, high = math.log1p(-self.clip), math.log1p(self.clip)
        ratio = batch.log_ratios.detach().clamp(low, high).exp()
        return advantage_likelihood(batch, ratio, self.value_coefficient)


@register("a_lol_ref_free")
@dataclass(frozen=True)
class ALoLReferenceFree:
    """Advantage-Leftover-Lunch RL without a reference.

    Name: A-LoL (reference-free)
    Formula: −max(0, A)·ℓ + c_V·(R − V)², A = R − V(x) with V detached, a mean over responses; SUM log-probs.
    Source: arXiv 2305.14718.
    From memory: nothing.
    Cost: 0.5, and a value head.

    `a_lol` with every importance ratio set to 1.

    Parameters
    ----------
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    value_fit : {"before", "beside"}
        Fit V before the first step, as the authors do, or let it learn beside the policy only.
    """

    value_coefficient: float = 1.0
    value_fit: str = "before"

    sweep: ClassVar[str | None] = None
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, value_coefficient="[0, inf)")
        check_choices(self, value_fit=VALUE_FITS)

    @property
    def needs(self) -> Needs:
        return Needs(pairs=False, rewards=True, values=True, value_fit=mean_fit(self.value_fit))

    def loss(self, batch: MethodBatch) -> Loss:
        return advantage_likelihood(batch, torch.ones_like(batch.logps), self.value_coefficient)


def mean_fit(when: str) -> ValueFit:
    """V as the mean reward of a prompt's responses."""
    return ValueFit(0.5, when == "before")


def advantage_likelihood(batch: MethodBatch, ratio: Tensor, value_coefficient: float) -> Loss:
    """−ratio·max(0, A)·ℓ + c_V·(R − V)², a mean over responses."""
    error = batch.rewards - batch.values[:, None]
    weights = ratio * torch.relu(error.detach())
    losses = -weights * batch.logps + value_coefficient * error.square()
    metrics = {
        "reward": batch.rewards,
        "value": batch.values.detach(),
        "advantage_mean": error.detach().mean(),
        "advantage_std": error.detach().std(correction=0),
        "learned_share": (weights > 0).to(losses.dtype),
        "importance_ratio": ratio,
    }
    return Loss(losses.mean(dim=1), metrics)
