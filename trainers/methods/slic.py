"""Sequence Likelihood Calibration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import hinge, pairwise


@register("slic")
@dataclass(frozen=True)
class SLiC:
    """Sequence Likelihood Calibration (SLiC-HF).

    Name: SLiC
    Formula: max(0, δ − ℓ_w + ℓ_l) − λ·ℓ_w; SUM log-probs, no reference.
    Source: arXiv 2305.10425; defaults of the HALOs code.
    From memory: nothing.
    Cost: 0.5.

    Parameters
    ----------
    margin : float, in [0, inf)
        δ, in nats.
    likelihood_weight : float, in [0, inf)
        λ, the weight of the chosen response's likelihood.
    """

    margin: float = 1.0
    likelihood_weight: float = 0.1

    needs: ClassVar[Needs] = Needs()
    sweep: ClassVar[str | None] = "likelihood_weight"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, margin="[0, inf)", likelihood_weight="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        chosen, rejected = batch.logps[:, 0], batch.logps[:, 1]
        gap = chosen - rejected
        return pairwise(gap, hinge(gap, self.margin) - self.likelihood_weight * chosen)
