"""Group Relative Policy Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_choices, check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import response_mean_loss, sample_needs
from trainers.methods.registry import register


@register("grpo")
@dataclass(frozen=True)
class GRPO:
    """Group Relative Policy Optimization.

    Name: GRPO
    Formula: mean over a prompt's G samples and each one's tokens of −min(q·A, clip(q, 1 ± ε)·A) + β·(e^−d + d − 1),
        q = π_θ/π_old and d = log π_θ/π_ref of the token, A = (r − mean r)/(std r + 10⁻⁴) over the G samples; token MEAN.
    Source: arXiv 2402.03300, and TRL's loss of type "grpo".
    From memory: the default β = 0.04.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. A shift
    or a scale of the rewards within a prompt changes nothing; where all G are equal only the pull to the reference is
    left. In the first update on a group q = 1. Beyond a ratio of e²⁰ its tangent takes the exponential's place.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    beta : float, in [0, inf)
        Weight β of the divergence from the reference; 0 needs no reference.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    scale : {"std", "none"}
        Divide advantages by the group's standard deviation, or not. Dr. GRPO (arXiv 2503.20783) does not, and divides
        by a constant length too: `dr_grpo`.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.04
    clip: float = 0.2
    scale: str = "std"
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", beta="[0, inf)", clip="(0, 1)")
        check_choices(self, scale=("std", "none"))
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, self.beta)

    def loss(self, batch: MethodBatch) -> Loss:
        return response_mean_loss(batch, group_advantages(batch.rewards, self.scale), self.clip, self.beta)


def group_advantages(rewards: Tensor, scale: str = "std") -> Tensor:
    """Rewards less their mean over a prompt's responses, in units of their standard deviation; shape (N, K).

    Examples
    --------
    >>> import torch
    >>> group_advantages(torch.tensor([[0.0, 2.0], [5.0, 5.0]]), "none").tolist()
    [[-1.0, 1.0], [0.0, 0.0]]
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    return centred / (rewards.std(dim=1, keepdim=True) + 1e-4) if scale == "std" else centred
