"""Rank Responses to align Human Feedback."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import hinge


@register("rrhf")
@dataclass(frozen=True)
class RRHF:
    """Rank Responses to align Human Feedback.

    Name: RRHF
    Formula: Σ over R_i < R_j of max(0, ℓ̄_i − ℓ̄_j) − λ·ℓ_best; ranking MEAN log-probs, likelihood SUM, no reference.
    Source: arXiv 2304.05302.
    From memory: nothing.
    Cost: 0.5.

    Any number of responses, ranked by reward; ties are not ranked, and the first of the best is learned. The authors'
    code averages the likelihood over all positions, those of prompt and padding included; the paper's sum over the
    response is what is computed here.

    Parameters
    ----------
    likelihood_weight : float, in [0, inf)
        λ, the weight of the best response's likelihood; 1 in the paper.
    """

    likelihood_weight: float = 1.0

    needs: ClassVar[Needs] = Needs(rewards=True, groups=True)
    sweep: ClassVar[str | None] = "likelihood_weight"
    log_probs: ClassVar[str] = "MEAN, likelihood SUM"

    def __post_init__(self) -> None:
        check_ranges(self, likelihood_weight="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        mean, rewards = batch.mean_logps, batch.rewards
        worse = rewards[:, :, None] < rewards[:, None, :]
        excess = hinge(mean[:, None, :] - mean[:, :, None], margin=0.0)
        ranking = torch.where(worse, excess, 0.0).sum(dim=(1, 2))
        best = batch.logps.gather(1, rewards.argmax(dim=1, keepdim=True))[:, 0]
        return Loss(ranking - self.likelihood_weight * best, {"ranking_loss": ranking.detach()})
