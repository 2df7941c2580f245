"""Clipped Importance-Sampling-weight Policy Optimization."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.grpo import group_advantages
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.token_terms import batch_token_mean


@register("cispo")
@dataclass(frozen=True)
class CISPO:
    """Clipped Importance-Sampling-weight Policy Optimization (CISPO).

    Name: CISPO
    Formula: mean over all tokens of the batch of −sg[min(q, ε)]·A·log π_θ, q = π_θ/π_old of the token, A =
        (r − mean r)/(std r + 10⁻⁴) over a prompt's G samples; token MEAN.
    Source: arXiv 2506.13585 (MiniMax-M1); TRL's loss of type "cispo".
    From memory: the default ε = 5, which TRL gives as the recommendation of arXiv 2510.13786.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. It is
    REINFORCE with a bounded importance weight: a token beyond the bound keeps its gradient, which PPO's clip removes.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    clip_high : float, in (0, inf)
        ε: the largest weight.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    clip_high: float = 5.0
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", clip_high="(0, inf)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, couples_examples=True)

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        ratio = log_importance(tokens).detach().clamp(max=math.log(self.clip_high)).exp()
        per_token = -ratio * group_advantages(batch.rewards)[..., None] * tokens.logps
        return Loss(batch_token_mean(per_token, tokens.mask), reward_metrics(batch))
