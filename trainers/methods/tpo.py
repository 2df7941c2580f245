"""Triple Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("tpo")
@dataclass(frozen=True)
class TPO:
    """Triple Preference Optimization (TPO).

    Name: TPO
    Formula: −log σ(β(ℓ_w − ℓ_l)) − α·ℓ̄_g with a gold response g; SUM log-probs, likelihood MEAN, no reference. TPO-L
        (`average`) has −log σ(β(ℓ̄_w − ℓ̄_l) − γ), MEAN throughout.
    Source: arXiv 2405.16681; TRL's TPO trainer, whose likelihood is averaged over all gold tokens of the batch, per
        response here.
    From memory: nothing; the defaults are TRL's.
    Cost: 0.75.

    The gold response is imitated, while the other two teach the preference; where it is the chosen one, this is CPO. It
    is the third column of the batch, `base_response` in the data; the step `gold_responses` takes the best response
    that is known. Not the tree or test-time methods of the same name.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-probability.
    alpha : float, in [0, inf)
        Weight of the gold response's likelihood.
    average : bool
        Compare log-probabilities per token (TPO-L).
    margin : float, in [0, inf)
        γ, the target margin; 0.5 for TPO-L in TRL.
    """

    beta: float = 0.01
    alpha: float = 1.0
    average: bool = False
    margin: float = 0.0

    needs: ClassVar[Needs] = Needs(base_responses=True)
    sweep: ClassVar[str | None] = "alpha"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="[0, inf)", margin="[0, inf)")
        check_choices(self, average=(False, True))

    @property
    def log_probs(self) -> str:
        return "MEAN" if self.average else "SUM, likelihood MEAN"

    def loss(self, batch: MethodBatch) -> Loss:
        logps = batch.mean_logps if self.average else batch.logps
        z = self.beta * (logps[:, 0] - logps[:, 1]) - self.margin
        return pairwise(z, logistic(z) - self.alpha * batch.mean_logps[:, 2])
