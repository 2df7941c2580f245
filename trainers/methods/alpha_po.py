"""AlphaPO: SimPO with a reward of another shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import exponential, logistic, pairwise


@register("alpha_po")
@dataclass(frozen=True)
class AlphaPO:
    """AlphaPO: SimPO with a reward of another shape.

    Name: AlphaPO
    Formula: −log σ(β(r_w − r_l − m)), r = (1 − p^−α)/α with p = exp ℓ̄, and r = ℓ̄ for α = 0; MEAN log-probs, no
        reference.
    Source: arXiv 2501.03884; the form of TRL's CPO trainer.
    From memory: the defaults.
    Cost: 0.5.

    α > 0 steepens the reward where a response is unlikely, α < 0 flattens it. Beyond an exponent of 20 its tangent takes
    the exponential's place. Not α-DPO (arXiv 2410.10148, `alpha_dpo`), whose α weighs a margin.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the reward.
    margin_ratio : float, in [0, inf)
        m = γ/β, the target margin in the authors' parametrisation.
    alpha : float, in (-inf, inf)
        Shape of the reward; 0 is SimPO.
    """

    beta: float = 2.5
    margin_ratio: float = 0.5
    alpha: float = 0.25

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", margin_ratio="[0, inf)", alpha="(-inf, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        rewards = shaped(batch.mean_logps, self.alpha)
        z = self.beta * (rewards[:, 0] - rewards[:, 1] - self.margin_ratio)
        return pairwise(z, logistic(z))


def shaped(mean_logps: Tensor, alpha: float) -> Tensor:
    """(1 − exp(−α·ℓ̄))/α, and ℓ̄ at α = 0.

    Examples
    --------
    >>> import torch
    >>> shaped(torch.tensor([0.25]).log(), 0.5).tolist()
    [-2.0]
    """
    return mean_logps if alpha == 0 else (1 - exponential(-alpha * mean_logps)) / alpha
