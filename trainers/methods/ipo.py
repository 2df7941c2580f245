"""Identity Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise


@register("ipo")
@dataclass(frozen=True)
class IPO:
    """Identity Preference Optimization.

    Name: IPO
    Formula: (Δ − 1/(2β))², Δ of MEAN log-ratios, or of SUM log-ratios with `average: false`.
    Source: arXiv 2310.12036, eq. 17 (its τ is β); the authors averaged, as TRL's note says and as the present HALOs
        code does, while the DPO authors' code sums.
    From memory: nothing.
    Cost: 1.

    The margin is finite however clear the preference, so it cannot be driven to infinity by clean labels.

    Parameters
    ----------
    beta : float, in (0, inf)
        Strength of the regularisation: the margin aimed at is 1/(2β), per token or per response.
    average : bool
        Divide the log-ratios by the number of response tokens.
    """

    beta: float = 0.1
    average: bool = True

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")
        check_choices(self, average=(False, True))

    @property
    def log_probs(self) -> str:
        return "MEAN" if self.average else "SUM"

    def loss(self, batch: MethodBatch) -> Loss:
        ratios = batch.log_ratios / batch.lengths if self.average else batch.log_ratios
        delta = ratios[:, 0] - ratios[:, 1]
        return pairwise(delta, (delta - 1 / (2 * self.beta)).square())
