"""Losses of statistical Rejection Sampling Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import hinge, logistic, pairwise


@register("rso_sigmoid")
@dataclass(frozen=True)
class RSOSigmoid:
    """Rejection sampling optimization, sigmoid-norm loss.

    Name: RSO (sigmoid)
    Formula: −log σ(γΔ); SUM log-probs.
    Source: arXiv 2309.06657.
    From memory: the default γ = 0.05.
    Cost: 1, and the sampling of its pairs.

    DPO's loss by another name; the method lies in the pairs, drawn by rejection sampling from the SFT policy and
    labelled by a ranker, which is a step of the data.

    Parameters
    ----------
    gamma : float, in (0, inf)
        Inverse temperature of the log-ratio, DPO's β.
    """

    gamma: float = 0.05

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "gamma"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, gamma="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.gamma * batch.delta
        return pairwise(z, logistic(z))


@register("rso_hinge")
@dataclass(frozen=True)
class RSOHinge:
    """Rejection sampling optimization, hinge-norm loss.

    Name: RSO (hinge)
    Formula: max(0, 1 − γΔ); SUM log-probs.
    Source: arXiv 2309.06657; the form of TRL's "hinge" loss.
    From memory: the default γ = 0.05.
    Cost: 1, and the sampling of its pairs.

    SLiC's margin on log-ratios: a pair is left alone once its margin Δ exceeds 1/γ.

    Parameters
    ----------
    gamma : float, in (0, inf)
        Inverse temperature of the log-ratio.
    """

    gamma: float = 0.05

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "gamma"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, gamma="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.gamma * batch.delta
        return pairwise(z, hinge(z))
