"""Length-Desensitized DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("ld_dpo")
@dataclass(frozen=True)
class LDDPO:
    """Length-Desensitized DPO (LD-DPO).

    Name: LD-DPO
    Formula: −log σ(β(ρ̃_w − ρ̃_l)), ρ̃ = log-ratio of the first min(n_w, n_l) tokens + α·log-ratio of the rest; SUM
        log-probs.
    Source: arXiv 2409.06411; TRL's `ld_alpha`.
    From memory: the default α = 0.5 (the paper tunes it for each model).
    Cost: 1.

    The longer response's tail, which has no counterpart in the shorter one, counts less.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward.
    alpha : float, in [0, 1]
        How much the tail counts; 1 is DPO.
    """

    beta: float = 0.1
    alpha: float = 0.5

    needs: ClassVar[Needs] = Needs(references=1, token_level=True)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "SUM, tail weighted"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, 1]")

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        place = tokens.mask.cumsum(dim=-1)
        shared = place <= tokens.mask.sum(dim=-1).amin(dim=1)[:, None, None]
        ratios = (tokens.log_ratios * torch.where(shared, 1.0, self.alpha)).sum(dim=-1)
        z = self.beta * (ratios[:, 0] - ratios[:, 1])
        return pairwise(z, logistic(z))
