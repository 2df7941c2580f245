"""DPO with an Offset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("odpo")
@dataclass(frozen=True)
class ODPO:
    """DPO with an Offset.

    Name: ODPO
    Formula: −log σ(βΔ − α·log(R_w − R_l)); SUM log-probs.
    Source: arXiv 2402.10571.
    From memory: nothing.
    Cost: 1.

    A pair with R_w ≤ R_l has no offset: its loss is 0 and the metric ``dropped`` counts it. The mean is over
    all pairs, so dropped ones make the batch's step smaller.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    alpha : float, in [0, inf)
        Weight of the offset; 0 is DPO on the pairs that are kept.
    """

    beta: float = 0.1
    alpha: float = 1.0

    needs: ClassVar[Needs] = Needs(references=1, rewards=True)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        gap = batch.rewards[:, 0] - batch.rewards[:, 1]
        positive = gap > 0
        z = self.beta * batch.delta - self.alpha * torch.log(torch.where(positive, gap, 1.0))
        return pairwise(z, positive * logistic(z), dropped=(~positive).to(z.dtype))
