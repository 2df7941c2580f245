"""Multi-Objective Direct Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("modpo")
@dataclass(frozen=True)
class MODPO:
    """Multi-Objective Direct Preference Optimization.

    Name: MODPO
    Formula: −log σ((βΔ − w·ΔR)/w₀), w₀ = 1 − w, ΔR = R_w − R_l; SUM log-probs.
    Source: arXiv 2310.03708 and the authors' code.
    From memory: nothing.
    Cost: 1.

    One policy per weight. The authors take margin rewards from a DPO model of the other objective or from any
    callable; here they are the designer rewards. Where label and reward disagree (ΔR < 0) the gradient fades
    as σ(−logit)/w₀: with Δ = 0 and ΔR = −1 from 0.52 at w = 0.1 to 1.2e-3 at w = 0.9.

    Parameters
    ----------
    weight : float, in [0, 1)
        Weight w of the designer reward; the user's preference has the rest. 0 is DPO.
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    weight: float = 0.5
    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1, rewards=True)
    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, 1)", beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = margin_logit(batch.delta, batch.rewards[:, 0] - batch.rewards[:, 1], self.weight, self.beta)
        return pairwise(z, logistic(z))


def margin_logit(delta: Tensor, reward_gap: Tensor, weight: float, beta: float) -> Tensor:
    """(βΔ − w·ΔR)/(1 − w)."""
    return (beta * delta - weight * reward_gap) / (1 - weight)
