"""Self-Play Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise


@register("sppo")
@dataclass(frozen=True)
class SPPO:
    """Self-Play Preference Optimization, hard labels.

    Name: SPPO
    Formula: (ρ_w − 1/(2β))² + (ρ_l + 1/(2β))²; SUM log-probs.
    Source: arXiv 2405.00675, eq. 4.7 with P = 1 for the chosen and 0 for the rejected response; TRL's loss of type
        "sppo_hard".
    From memory: the default, the paper's η = 1/β = 1,000.
    Cost: 1.

    Each log-ratio has a target of its own, so that the chosen response's likelihood rises and the rejected one's
    falls: ½(Δ − 1/β)² + ½(ρ_w + ρ_l)², half of IPO's loss on sums at β/2 and a pull on the sum of both log-ratios.
    The paper trains in rounds, on the policy's own samples with win rates of a preference model; that is `rounds` with
    the data step `best_worst` around this loss.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse of the paper's learning rate η; the targets are ±1/(2β) nats.
    """

    beta: float = 0.001

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        target = 1 / (2 * self.beta)
        chosen, rejected = batch.log_ratios[:, 0], batch.log_ratios[:, 1]
        return pairwise(batch.delta, (chosen - target).square() + (rejected + target).square())
