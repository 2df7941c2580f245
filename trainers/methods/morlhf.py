"""Multi-Objective RLHF by proximal policy optimization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import log_importance, sample_needs, token_rewards
from trainers.methods.registry import register
from trainers.methods.terms import clipped_surrogate, exponential
from trainers.methods.token_terms import batch_token_mean, generalised_advantages, masked_mean, whiten


@register("morlhf")
@dataclass(frozen=True)
class MORLHF:
    """Multi-Objective RLHF: PPO on the weighted sum of rewards (MORLHF).

    Name: MORLHF
    Formula: mean over all tokens of the batch of −min(q·A, clip(q, 1 ± ε)·A) + c_V·½(V_t − G_t)², q = π_θ/π_old of the
        token, A the whitened generalised advantage Â of the rewards r on the last token and −β·log(π_old/π_ref) on
        every one, G_t = Â_t + V_t, both with V detached; token MEAN.
    Source: arXiv 1707.06347 (PPO) and 2009.01325 (the divergence as a reward); the baseline of arXiv 2310.03708.
    From memory: the defaults.
    Cost: 3 or more: the policy samples what it learns from; a value head on every response token.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's: linear
    scalarisation, one policy for each w. With V = 0 and trace 1 the policy's part is `reinforce_pp`. In further updates
    on the same samples V is the present one, not that of the first update. `rloo` is MORLHF without a value head.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    beta : float, in [0, inf)
        Weight β of the divergence from the reference; 0 needs no reference.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    discount : float, in [0, 1]
        γ of rewards and advantages.
    trace : float, in [0, 1]
        λ of the generalised advantage.
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    samples : int, in [2, inf)
        Responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.05
    clip: float = 0.2
    discount: float = 1.0
    trace: float = 0.95
    value_coefficient: float = 0.1
    samples: int = 2
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(
            self, weight="[0, inf)", beta="[0, inf)", clip="(0, 1)", discount="[0, 1]", trace="[0, 1]",
            value_coefficient="[0, inf)",
        )  # fmt: skip
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return replace(sample_needs(self.weight, self.beta, couples_examples=True), values=True)

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        rewards, metrics = token_rewards(batch, self.beta)
        advantage = generalised_advantages(rewards, tokens, self.discount, self.trace)
        value_loss = 0.5 * (tokens.values - (advantage + tokens.values.detach())).square()
        ratio = exponential(log_importance(tokens))
        per_token = clipped_surrogate(ratio, whiten(advantage, tokens.mask), self.clip)
        metrics["value"] = masked_mean(tokens.values.detach(), tokens.mask)
        metrics["value_loss"] = masked_mean(value_loss.detach(), tokens.mask)
        return Loss(batch_token_mean(per_token + self.value_coefficient * value_loss, tokens.mask), metrics)
