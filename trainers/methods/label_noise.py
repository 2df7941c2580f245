"""Conservative DPO and robust DPO, for noisy labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise, smoothed_logistic


@register("cdpo")
@dataclass(frozen=True)
class CDPO:
    """Conservative DPO: label smoothing.

    Name: cDPO
    Formula: (1 − ε)·(−log σ(βΔ)) + ε·(−log σ(−βΔ)); SUM log-probs.
    Source: E. Mitchell, "A note on DPO with noisy preferences" (2023, no arXiv id); ε of the HALOs code.
    From memory: nothing.
    Cost: 1.

    The optimum has a finite margin, βΔ = log((1 − ε)/ε).

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    epsilon : float, in [0, 0.5)
        Probability that a label is wrong; 0 is DPO.
    """

    beta: float = 0.1
    epsilon: float = 0.2

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", epsilon="[0, 0.5)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        return pairwise(z, smoothed_logistic(z, self.epsilon))


@register("rdpo")
@dataclass(frozen=True)
class RDPO:
    """Robust DPO: label noise taken out without bias.

    Name: rDPO
    Formula: [(1 − ε)·(−log σ(βΔ)) − ε·(−log σ(−βΔ))]/(1 − 2ε); SUM log-probs.
    Source: arXiv 2403.00409; the form of TRL's "robust" loss.
    From memory: nothing; ε = 0.1 is the authors' recommendation.
    Cost: 1.

    Its expectation over labels flipped with probability ε is DPO's loss on the true labels. It can be negative.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    epsilon : float, in [0, 0.5)
        Probability that a label is wrong; 0 is DPO.
    """

    beta: float = 0.1
    epsilon: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", epsilon="[0, 0.5)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        noisy = (1 - self.epsilon) * logistic(z) - self.epsilon * logistic(-z)
        return pairwise(z, noisy / (1 - 2 * self.epsilon))
