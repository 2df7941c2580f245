"""REINFORCE leave-one-out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential


@register("rloo")
@dataclass(frozen=True)
class RLOO:
    """REINFORCE leave-one-out.

    Name: RLOO
    Formula: mean over a prompt's G samples of −min(q·A, clip(q, 1 ± ε)·A), q = π_θ/π_old of the whole response,
        A_i = r̃_i − mean_{j≠i} r̃_j, r̃ = r − β·log(π_old/π_ref); SUM log-probs.
    Source: arXiv 2402.14740, in the form of TRL with its defaults.
    From memory: nothing.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. Over w it is
    MORLHF by RLOO (`morlhf` is MORLHF by PPO). The divergence from the reference is part of the reward. In the first
    update on a group q = 1, and the gradient is REINFORCE's −A·∇ℓ. Beyond a ratio of e²⁰ its tangent takes the
    exponential's place.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    beta : float, in [0, inf)
        Weight β of the divergence from the reference; 0 needs no reference.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.05
    clip: float = 0.2
    samples: int = 2
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", beta="[0, inf)", clip="(0, 1)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, self.beta)

    def loss(self, batch: MethodBatch) -> Loss:
        behaviour = batch.tokens.behaviour
        old = batch.logps.detach() if behaviour is None else (behaviour * batch.tokens.mask).sum(-1)
        rewards = batch.rewards if self.beta == 0 else batch.rewards - self.beta * (old - batch.reference)
        per_response = clipped_surrogate(exponential(batch.logps - old), leave_one_out(rewards), self.clip)
        metrics = reward_metrics(batch)
        if self.beta > 0:
            metrics["divergence"] = old - batch.reference
        return Loss(per_response.mean(dim=1), metrics)


def leave_one_out(rewards: Tensor) -> Tensor:
    """Each reward less the mean of the others of its prompt, shape (N, K).

    Examples
    --------
    >>> import torch
    >>> leave_one_out(torch.tensor([[0.0, 1.0, 5.0]])).tolist()
    [[-3.0, -1.5, 4.5]]
    """
    k = rewards.shape[1]
    return (rewards - rewards.mean(dim=1, keepdim=True)) * (k / (k - 1))
