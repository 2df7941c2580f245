"""Length-regularised DPO (R-DPO)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("r_dpo")
@dataclass(frozen=True)
class RDPOLength:
    """Length-regularised DPO (R-DPO).

    Name: R-DPO
    Formula: −log σ(βΔ + α(n_w − n_l)); SUM log-probs, margin by length.
    Source: arXiv 2403.19159.
    From memory: the default α = 0.01.
    Cost: 1.

    The objective subtracts α from the reward for each token, so that at the optimum the reward behind the labels is
    β·ρ + α·n: part of a preference for a longer response is attributed to its length. The table of baselines in arXiv 2405.14734 prints the opposite
    sign. Not the robust DPO of arXiv 2403.00409, which is `rdpo`.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    alpha : float, in [0, inf)
        Penalty of a token, in units of the reward; 0 is DPO.
    """

    beta: float = 0.1
    alpha: float = 0.01

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "SUM, margin by length"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta + self.alpha * (batch.lengths[:, 0] - batch.lengths[:, 1])
        return pairwise(z, logistic(z))
