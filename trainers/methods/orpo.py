"""Odds Ratio Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("orpo")
@dataclass(frozen=True)
class ORPO:
    """Odds Ratio Preference Optimization.

    Name: ORPO
    Formula: −ℓ̄_w + λ·(−log σ(o_w − o_l)), o = ℓ̄ − log(1 − exp ℓ̄); MEAN log-probs, no reference.
    Source: arXiv 2403.07691; λ of the authors' training script.
    From memory: nothing.
    Cost: 0.5.

    The authors' code and TRL average the likelihood over all tokens of a batch, those of prompts included; the paper's
    mean over the chosen response is what is computed here.

    Parameters
    ----------
    weight : float, in [0, inf)
        λ, the weight of the odds ratio beside the chosen response's likelihood; 0 is SFT.
    """

    weight: float = 0.1

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        odds = log_odds(batch.mean_logps)
        z = odds[:, 0] - odds[:, 1]
        return pairwise(z, -batch.mean_logps[:, 0] + self.weight * logistic(z))


def log_odds(mean_logps: Tensor) -> Tensor:
    """log(p/(1 − p)) of p = exp ℓ̄, with ℓ̄ kept below −1e-6 where the odds diverge.

    Examples
    --------
    >>> log_odds(torch.tensor([0.5, 0.75]).log()).tolist()
    [0.00, 1.10]
    """
    bounded = mean_logps.clamp(max=-1e-6)
    return bounded - torch.log(-torch.expm1(bounded))
