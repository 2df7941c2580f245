"""Discovered Preference Optimization (DiscoPOP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import exponential, logistic, pairwise


@register("discopop")
@dataclass(frozen=True)
class DiscoPOP:
    """Discovered Preference Optimization (DiscoPOP).

    Name: DiscoPOP
    Formula: (1 − m)·(−log σ(z)) + m·e^−z, z = βΔ, m = σ(z/τ); SUM log-probs.
    Source: arXiv 2406.08414, eq. 5; TRL's loss of type "discopop".
    From memory: the default β = 0.05.
    Cost: 1.

    A loss that a language model proposed: the logistic loss of wrong pairs, the exponential loss of right ones, mixed
    by the size of the margin. It is not convex and has a second stationary point. Beyond an exponent of 20 its tangent
    takes the exponential's place.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    tau : float, in (0, inf)
        Temperature of the mixture, in units of z.
    """

    beta: float = 0.05
    tau: float = 0.05

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", tau="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        share = torch.sigmoid(z / self.tau)
        return pairwise(z, (1 - share) * logistic(z) + share * exponential(-z), exponential_share=share.detach())
