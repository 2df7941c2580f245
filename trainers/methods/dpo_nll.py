"""DPO with the negative log-likelihood of the chosen response (DPO + NLL)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("dpo_nll")
@dataclass(frozen=True)
class DPONLL:
    """DPO with the negative log-likelihood of the chosen response (DPO + NLL).

    Name: DPO + NLL
    Formula: −log σ(βΔ) − α·ℓ̄_w; SUM log-probs, likelihood MEAN.
    Source: arXiv 2404.19733 (Iterative Reasoning Preference Optimization), eq. 1.
    From memory: the defaults α = 1 and β = 0.1.
    Cost: 1.

    The likelihood term keeps the chosen response from losing probability together with the rejected one. Other papers
    and libraries call this loss RPO; `rpo` is Relative Preference Optimization. With a uniform reference it is CPO.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    alpha : float, in [0, inf)
        Weight of the chosen response's likelihood; 0 is DPO.
    """

    beta: float = 0.1
    alpha: float = 1.0

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM, likelihood MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        return pairwise(z, logistic(z) - self.alpha * batch.mean_logps[:, 0])
