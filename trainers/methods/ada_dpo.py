"""Ada-DPO: adaptive preference scaling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("ada_dpo")
@dataclass(frozen=True)
class AdaDPO:
    """Ada-DPO: adaptive preference scaling.

    Name: Ada-DPO
    Formula: −sg[τ*]·log σ(βΔ/sg[τ*]), τ* = clip(|βΔ|/z_ρ, τ_min, τ_max), where z_ρ > 0 solves
        H(σ(z_ρ)) = log 2 − ρ₀ with H the binary entropy; SUM log-probs.
    Source: arXiv 2406.02764 and the authors' code; τ* in closed form in place of their Newton steps.
    From memory: nothing.
    Cost: 1.

    τ* minimises −τ·log(2σ(βΔ/τ)) + ρ₀τ, so the gradient is that of the minimum. Clear pairs get a large scale,
    and between the bounds the loss is linear, its slope σ(∓z_ρ). The authors' five undamped Newton steps can
    end at the wrong bound (ρ₀ = 0.3 and βΔ = 1 gives 0.1 for 0.535).

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    rho : float, in (0, 0.693)
        ρ₀, the price of a large scale; below log 2.
    tau_min, tau_max : float, in (0, inf)
        Bounds of the scale; both 1 is DPO.
    """

    beta: float = 0.1
    rho: float = 0.1
    tau_min: float = 0.1
    tau_max: float = 5.0

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", rho="(0, 0.693)", tau_min="(0, inf)", tau_max="(0, inf)")
        if self.tau_min > self.tau_max:
            raise ValueError(f"AdaDPO: tau_min ({self.tau_min}) must not exceed tau_max ({self.tau_max})")

    @cached_property
    def turning_point(self) -> float:
        """z_ρ."""
        return entropy_root(self.rho)

    def scale(self, z: Tensor) -> Tensor:
        """τ* of each pair, detached."""
        return (z.detach().abs() / self.turning_point).clamp(self.tau_min, self.tau_max)

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        tau = self.scale(z)
        return pairwise(z, tau * logistic(z / tau), scale=tau)


def entropy_root(rho: float) -> float:
    """The positive root of H(σ(z)) = log 2 − ρ.

    Examples
    --------
    >>> [entropy_root(rho) for rho in (0.1, 0.3, 0.5, 0.6)]
    [0.943, 1.870, 2.983, 3.957]
    """
    from scipy.optimize import brentq

    def excess(z: float) -> float:
        return math.log1p(math.exp(-z)) + z / (1 + math.exp(z)) - (math.log(2) - rho)

    return float(brentq(excess, 0.0, 100.0, xtol=1e-12))
