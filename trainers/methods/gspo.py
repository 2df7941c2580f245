"""Group Sequence Policy Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.grpo import group_advantages
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential
from trainers.methods.token_terms import per_response


@register("gspo")
@dataclass(frozen=True)
class GSPO:
    """Group Sequence Policy Optimization (GSPO).

    Name: GSPO
    Formula: mean over a prompt's G samples of −min(q·A, clip(q, 1 − ε, 1 + ε')·A), q = (π_θ/π_old)^(1/n) of the whole
        response, A = (r − mean r)/(std r + 10⁻⁴) over the G samples; MEAN log-probs.
    Source: arXiv 2507.18071; TRL's `importance_sampling_level` "sequence".
    From memory: the defaults of the clip.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. One ratio for a
    response, its tokens' geometric mean, is clipped as a whole, where GRPO clips the ratio of each token. In the first
    update on a group the gradient is GRPO's without a reference.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    clip_low, clip_high : float, in (0, 1)
        ε and ε': the ratio counts between 1 − ε and 1 + ε'; small, as it is a mean over tokens.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    clip_low: float = 3e-4
    clip_high: float = 4e-4
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", clip_low="(0, 1)", clip_high="(0, 1)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight)

    def loss(self, batch: MethodBatch) -> Loss:
        ratio = exponential(per_response(log_importance(batch.tokens), batch.tokens.mask))
        losses = clipped_surrogate(ratio, group_advantages(batch.rewards), self.clip_low, self.clip_high)
        return Loss(losses.mean(dim=1), reward_metrics(batch))
