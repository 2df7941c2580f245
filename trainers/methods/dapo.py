"""Decoupled Clip and Dynamic Sampling Policy Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.grpo import group_advantages
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential
from trainers.methods.token_terms import batch_token_mean


@register("dapo")
@dataclass(frozen=True)
class DAPO:
    """Decoupled Clip and Dynamic Sampling Policy Optimization (DAPO).

    Name: DAPO
    Formula: mean over all tokens of the batch of −min(q·A, clip(q, 1 − ε, 1 + ε')·A), q = π_θ/π_old of the token, A =
        (r − mean r)/(std r + 10⁻⁴) over a prompt's G samples; token MEAN.
    Source: arXiv 2503.14476, eq. 8; TRL's loss of type "dapo".
    From memory: nothing.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. Unlike GRPO
    it has a wider upper clip, weights all tokens of the optimizer batch equally instead of all responses, and has no
    divergence from the reference. A prompt whose G rewards are equal has no gradient, but its tokens count in the mean: the paper's
    dynamic sampling, which draws other prompts in its place, is left out, and so is its penalty on overlong responses.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    clip_low, clip_high : float, in (0, 1)
        ε and ε': the ratio counts between 1 − ε and 1 + ε'.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    clip_low: float = 0.2
    clip_high: float = 0.28
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", clip_low="(0, 1)", clip_high="(0, 1)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, couples_examples=True)

    def loss(self, batch: MethodBatch) -> Loss:
        ratio, advantage = exponential(log_importance(batch.tokens)), group_advantages(batch.rewards)
        per_token = clipped_surrogate(ratio, advantage[..., None], self.clip_low, self.clip_high)
        return Loss(batch_token_mean(per_token, batch.tokens.mask), reward_metrics(batch))
