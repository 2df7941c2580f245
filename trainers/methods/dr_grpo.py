"""GRPO Done Right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.grpo import group_advantages
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential


@register("dr_grpo")
@dataclass(frozen=True)
class DrGRPO:
    """GRPO Done Right (Dr. GRPO).

    Name: Dr. GRPO
    Formula: mean over a prompt's G samples of (1/L)·Σ over tokens of −min(q·A, clip(q, 1 ± ε)·A), q = π_θ/π_old of the
        token, A = r − mean r over the G samples; SUM log-probs over a constant length.
    Source: arXiv 2503.20783; TRL's loss of type "dr_grpo".
    From memory: nothing.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. It drops
    GRPO's two normalisations, each of which is a bias: division by the group's standard deviation gives easy and hard
    prompts more weight, division by the response's own length makes long wrong responses cheap. There is no divergence
    from the reference.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    constant_length : float, in (0, inf)
        L, in tokens: the longest response in the authors' code. It scales the gradient, which the optimizers here undo.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    clip: float = 0.2
    constant_length: float = 128.0
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "SUM, over a constant length"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", clip="(0, 1)", constant_length="(0, inf)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight)

    def loss(self, batch: MethodBatch) -> Loss:
        ratio, advantage = exponential(log_importance(batch.tokens)), group_advantages(batch.rewards, "none")
        per_token = clipped_surrogate(ratio, advantage[..., None], self.clip) * batch.tokens.mask
        return Loss((per_token.sum(-1) / self.constant_length).mean(dim=1), reward_metrics(batch))
