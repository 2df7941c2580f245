"""Kahneman–Tversky Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register


@register("kto")
@dataclass(frozen=True)
class KTO:
    """Kahneman–Tversky Optimization.

    Name: KTO
    Formula: desirable: w_D·σ(−β(ρ − z₀)); undesirable: w_U·σ(−β(z₀ − ρ)); z₀ = max(0, mean over the batch of
        the log-ratio of mismatched responses), detached; SUM log-probs.
    Source: arXiv 2402.01306, as in the authors' code of February 2024 (the version that UPO builds on).
    From memory: nothing.
    Cost: 1.5.

    Both responses of a pair are singletons, so a pair's loss is the mean of its two. A batch may hold one
    class only. A batch of one has no mismatched response: z₀ = 0.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    desirable_weight, undesirable_weight : float, in [0, inf)
        Weights w_D and w_U; with n_D desirable and n_U undesirable examples the paper recommends
        w_D·n_D/(w_U·n_U) between 1 and 4/3.
    """

    beta: float = 0.1
    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    needs: ClassVar[Needs] = Needs(pairs=False, references=1, mismatched=True, couples_examples=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", desirable_weight="[0, inf)", undesirable_weight="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        baseline = kl_baseline(batch)
        gain = self.beta * (batch.log_ratios - baseline)
        losses = torch.where(
            batch.desirable,
            self.desirable_weight * torch.sigmoid(-gain),
            self.undesirable_weight * torch.sigmoid(gain),
        )
        return Loss(losses.mean(dim=1), {"kl_baseline": baseline})


def kl_baseline(batch: MethodBatch) -> Tensor:
    """z₀, a detached scalar: mean log-ratio of mismatched responses, at least 0; 0 where there are none."""
    if batch.mismatched is None or batch.mismatched_reference is None:
        return batch.logps.new_zeros(())
    return (batch.mismatched - batch.mismatched_reference).mean().clamp(min=0).detach()
