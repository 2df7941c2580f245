"""Simple Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("simpo")
@dataclass(frozen=True)
class SimPO:
    """Simple Preference Optimization.

    Name: SimPO
    Formula: −log σ(β(ℓ̄_w − ℓ̄_l − m)); MEAN log-probs, no reference.
    Source: arXiv 2405.14734; the authors' setting for Llama-3 base models.
    From memory: nothing.
    Cost: 0.5.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-probability per token.
    margin_ratio : float, in [0, inf)
        m = γ/β, the target margin per token in the authors' parametrisation.
    """

    beta: float = 2.0
    margin_ratio: float = 0.5

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", margin_ratio="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        gap = batch.mean_logps[:, 0] - batch.mean_logps[:, 1]
        z = self.beta * (gap - self.margin_ratio)
        return pairwise(z, logistic(z))
