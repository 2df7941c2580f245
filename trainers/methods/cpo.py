"""Contrastive Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("cpo")
@dataclass(frozen=True)
class CPO:
    """Contrastive Preference Optimization.

    Name: CPO
    Formula: −log σ(β(ℓ_w − ℓ_l)) − α·ℓ̄_w; SUM log-probs, likelihood MEAN, no reference.
    Source: arXiv 2401.08417; the form and defaults of TRL, whose likelihood is averaged over tokens (over all
        tokens of the batch there, per response here).
    From memory: nothing.
    Cost: 0.5.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-probability.
    alpha : float, in [0, inf)
        Weight of the chosen response's likelihood; 0 is DPO with a uniform reference.
    """

    beta: float = 0.1
    alpha: float = 1.0

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM, likelihood MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * (batch.logps[:, 0] - batch.logps[:, 1])
        return pairwise(z, logistic(z) - self.alpha * batch.mean_logps[:, 0])
