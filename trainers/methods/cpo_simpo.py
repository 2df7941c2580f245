"""CPO-SimPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("cpo_simpo")
@dataclass(frozen=True)
class CPOSimPO:
    """CPO-SimPO: SimPO with the chosen response's likelihood.

    Name: CPO-SimPO
    Formula: −log σ(β(ℓ̄_w − ℓ̄_l − m)) − α·ℓ̄_w; MEAN log-probs, no reference.
    Source: the authors' repository of CPO (2024, no arXiv id); TRL's CPO trainer with the loss of type "simpo" and
        `cpo_alpha`, whose likelihood is averaged over all tokens of the batch, per response here.
    From memory: the defaults.
    Cost: 0.5.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-probability per token.
    margin_ratio : float, in [0, inf)
        m = γ/β, the target margin per token.
    alpha : float, in [0, inf)
        Weight of the chosen response's likelihood; 0 is SimPO.
    """

    beta: float = 2.0
    margin_ratio: float = 0.5
    alpha: float = 0.05

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", margin_ratio="[0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        gap = batch.mean_logps[:, 0] - batch.mean_logps[:, 1]
        z = self.beta * (gap - self.margin_ratio)
        return pairwise(z, logistic(z) - self.alpha * batch.mean_logps[:, 0])
