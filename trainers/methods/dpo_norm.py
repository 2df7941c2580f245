"""Length-normalised DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("dpo_norm")
@dataclass(frozen=True)
class DPONorm:
    """Length-normalised DPO.

    Name: length-normalised DPO
    Formula: −log σ(β(ρ_w/n_w − ρ_l/n_l)); MEAN log-probs.
    Source: arXiv 2411.15124 (Tülu 3), section 5; TRL's loss of type "sigmoid_norm".
    From memory: the default β = 5.
    Cost: 1.

    DPO on the log-ratio per token: long responses no longer have the larger implicit rewards. SimPO is the same
    without a reference and with a target margin.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-ratio per token.
    """

    beta: float = 5.0

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        ratios = batch.log_ratios / batch.lengths
        z = self.beta * (ratios[:, 0] - ratios[:, 1])
        return pairwise(z, logistic(z))
