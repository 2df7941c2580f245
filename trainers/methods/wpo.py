"""Weighted Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise
from trainers.methods.token_terms import per_response


@register("wpo")
@dataclass(frozen=True)
class WPO:
    """Weighted Preference Optimization (WPO).

    Name: WPO
    Formula: −sg[w(y_w)·w(y_l)]·log σ(βΔ), log w(y) = mean over the tokens of log π(y_t) − log Σ_v π(v)²; SUM log-probs,
        weights MEAN.
    Source: arXiv 2406.11827, eq. 2 with sampled alignment; TRL's `use_weighting`.
    From memory: the default β = 0.1, which is TRL's.
    Cost: 1, and another pass through the language-model head.

    The weight of a pair is its likelihood under the policy, so that offline pairs resemble on-policy ones. A response
    whose tokens are as likely as the policy's own samples has weight 1. The loss is averaged over all pairs; unlikely
    pairs therefore make the step smaller.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1, token_level=True, collision=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM, weights MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        log_weights = per_response(tokens.logps.detach() - tokens.collision, tokens.mask)
        weight = (log_weights[:, 0] + log_weights[:, 1]).exp()
        z = self.beta * batch.delta
        return pairwise(z, weight * logistic(z), weight=weight)
