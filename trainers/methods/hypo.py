"""Hybrid DPO (HyPO)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("hypo")
@dataclass(frozen=True)
class HyPO:
    """Hybrid DPO (HyPO).

    Name: HyPO
    Formula: −log σ(β(ℓ_w − ℓ_l − max(0, ℓ_ref,w − ℓ_ref,l))); SUM log-probs.
    Source: arXiv 2602.11902, abstract.
    From memory: the default β = 0.1.
    Cost: 1.

    It equals DPO on pairs that the reference ranks correctly. Where the reference prefers the rejected response it counts
    as neutral; DPO's gradient fades there as soon as the policy's margin exceeds the reference's, even if the policy
    still ranks the pair wrongly. Not HPO, the earlier name of UPO
    (arXiv 2405.17956), nor the hybrid preference optimization of arXiv 2406.01462.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the margin.
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        gap = batch.logps[:, 0] - batch.logps[:, 1]
        held = batch.reference[:, 0] - batch.reference[:, 1]
        z = self.beta * (gap - held.clamp(min=0))
        return pairwise(z, logistic(z), pessimistic=(held < 0).to(z.dtype))
