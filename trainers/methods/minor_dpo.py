"""Minor DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("minor_dpo")
@dataclass(frozen=True)
class MinorDPO:
    """Minor DPO.

    Name: Minor DPO
    Formula: −log σ(β(ρ_w − max(0, ρ_l))); SUM log-probs.
    Source: arXiv 2408.09834.
    From memory: the exact formula (that the rejected side is gated was read) and the default β.
    Cost: 1.

    The rejected response is pushed down only while the policy rates it above the reference. At the start ρ_l is
    0 for all pairs, and the gradient taken there is 0: only the chosen side moves first.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        chosen, rejected = batch.log_ratios[:, 0], batch.log_ratios[:, 1]
        z = self.beta * (chosen - torch.relu(rejected))
        return pairwise(z, logistic(z), gate_open=(rejected > 0).to(z.dtype))
