"""f-DPO: DPO under other divergences."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import exponential, logistic, pairwise


@register("f_dpo")
@dataclass(frozen=True)
class FDPO:
    """Direct Preference Optimization with another f-divergence (f-DPO).

    Name: f-DPO
    Formula: −log σ(β(s_w − s_l)), s = f'(e^ρ): 1 − e^−ρ (forward KL), log 2 + log σ(ρ) (Jensen–Shannon), or
        (1 − e^(−αρ))/α (α-divergence); SUM log-probs.
    Source: arXiv 2309.16240; TRL's `f_divergence_type`, whose coefficient is 1 − α.
    From memory: the defaults.
    Cost: 1.

    The divergence from the reference that the policy's regularisation stands for: DPO's is the reverse KL, f'(u) =
    log u + 1. α → 0 is DPO, α = 1 the forward KL. Beyond an exponent of 20 its tangent takes the exponential's place.

    Parameters
    ----------
    beta : float, in (0, inf)
        Weight of the divergence from the reference.
    divergence : {"forward_kl", "jensen_shannon", "alpha"}
        f.
    alpha : float, in (0, 1]
        α, of the α-divergence only.
    """

    beta: float = 0.1
    divergence: str = "jensen_shannon"
    alpha: float = 0.5

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="(0, 1]")
        check_choices(self, divergence=tuple(SCORES))

    def loss(self, batch: MethodBatch) -> Loss:
        scores = SCORES[self.divergence](batch.log_ratios, self.alpha)
        z = self.beta * (scores[:, 0] - scores[:, 1])
        return pairwise(z, logistic(z))


def alpha_score(ratios: Tensor, alpha: float) -> Tensor:
    """(1 − e^(−αρ))/α."""
    return (1 - exponential(-alpha * ratios)) / alpha


SCORES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "forward_kl": lambda ratios, _: alpha_score(ratios, 1.0),
    "jensen_shannon": lambda ratios, _: math.log(2) - logistic(ratios),
    "alpha": alpha_score,
}
"""s of a log-ratio ρ, by divergence."""
