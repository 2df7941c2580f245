"""Anchored Preference Optimization: APO-zero and APO-down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise


@register("apo_zero")
@dataclass(frozen=True)
class APOZero:
    """Anchored Preference Optimization, zero (APO-zero).

    Name: APO-zero
    Formula: desirable: 1 − σ(βρ); undesirable: σ(βρ); SUM log-probs.
    Source: arXiv 2408.06266, eq. 7; TRL's losses of type "apo_zero" and "apo_zero_unpaired".
    From memory: the default β = 0.1, which is TRL's.
    Cost: 1.

    For data whose chosen responses are better than the model's own. It is KTO with the baseline z₀ = 0. Both responses
    of a pair are singletons, so a pair's loss is the mean of its two, half of the paper's sum. Not the accelerated
    preference optimization of arXiv 2410.06293, which is the outer loop `rounds`.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(pairs=False, references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        sign = 2 * batch.desirable.to(batch.logps.dtype) - 1
        return Loss(torch.sigmoid(-sign * self.beta * batch.log_ratios).mean(dim=1), {})


@register("apo_down")
@dataclass(frozen=True)
class APODown:
    """Anchored Preference Optimization, down (APO-down).

    Name: APO-down
    Formula: σ(βρ_w) + 1 − σ(βΔ); SUM log-probs.
    Source: arXiv 2408.06266, eq. 8; TRL's loss of type "apo_down".
    From memory: the default β = 0.1, which is TRL's.
    Cost: 1.

    For data whose chosen responses are worse than the model's own: the likelihood of both responses falls, that of the
    rejected one further. Not the accelerated preference optimization of arXiv 2410.06293, which is the outer loop
    `rounds`.

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
        z = self.beta * batch.delta
        return pairwise(z, torch.sigmoid(self.beta * batch.log_ratios[:, 0]) + torch.sigmoid(-z))
