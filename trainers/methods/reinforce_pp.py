"""REINFORCE++."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, sample_needs, token_rewards
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential
from trainers.methods.token_terms import batch_token_mean, discounted, whiten


@register("reinforce_pp")
@dataclass(frozen=True)
class ReinforcePP:
    """REINFORCE++: a policy gradient with advantages standardised over the batch.

    Name: REINFORCE++
    Formula: mean over all tokens of the batch of −min(q·A, clip(q, 1 ± ε)·A), q = π_θ/π_old of the token, A_t = r −
        β·Σ_{s≥t} log(π_old/π_ref) of the tokens, standardised over all tokens of the batch; token MEAN.
    Source: arXiv 2501.03262.
    From memory: the defaults, and the mean over all tokens rather than within each response.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. The divergence from
    the reference is part of the reward. The baseline is the mean of the optimizer batch, not of a prompt's samples, so
    that prompts with high rewards pull more; the paper's variant that takes a prompt's mean off first is left out.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    beta : float, in [0, inf)
        Weight β of the divergence from the reference; 0 needs no reference.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    samples : int, in [2, inf)
        Responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.01
    clip: float = 0.2
    samples: int = 2
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", beta="[0, inf)", clip="(0, 1)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, self.beta, couples_examples=True)

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        rewards, metrics = token_rewards(batch, self.beta)
        advantage = whiten(discounted(rewards, 1.0), tokens.mask)
        per_token = clipped_surrogate(exponential(log_importance(tokens)), advantage, self.clip)
        return Loss(batch_token_mean(per_token, tokens.mask), metrics)
