"""Base-Anchored Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise

ANCHORS = {"hinge": torch.relu, "absolute": torch.abs, "square": torch.square}


@register("bapo")
@dataclass(frozen=True)
class BAPO:
    """Base-Anchored Preference Optimization.

    Name: BAPO
    Formula: −log σ(βΔ) + λ·a((ℓ_ref(y_b) − ℓ(y_b))/n_b), a = max(0, ·), |·| or (·)²; SUM log-probs, anchor MEAN.
    Source: arXiv 2407.00693.
    From memory: the anchor's form, its division by the number of tokens, and λ.
    Cost: 1.5, and one generation of the base model per prompt.

    y_b is the base model's own response to the prompt, the third column of the batch: its likelihood is kept
    from falling while preferences are learned.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    anchor_weight : float, in [0, inf)
        λ; 0 is DPO.
    anchor : {"hinge", "absolute", "square"}
        Hinge holds the base response's likelihood from below only.
    """

    beta: float = 0.1
    anchor_weight: float = 1.0
    anchor: str = "hinge"

    needs: ClassVar[Needs] = Needs(references=1, base_responses=True)
    sweep: ClassVar[str | None] = "anchor_weight"
    log_probs: ClassVar[str] = "SUM, anchor MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", anchor_weight="[0, inf)")
        check_choices(self, anchor=tuple(ANCHORS))

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        fall = -batch.log_ratios[:, 2] / batch.lengths[:, 2]
        anchored = logistic(z) + self.anchor_weight * ANCHORS[self.anchor](fall)
        return pairwise(z, anchored, base_log_ratio=-fall.detach())
