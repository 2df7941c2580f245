"""Multi-Objective Preference Optimization under constraints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise


@register("mopo")
@dataclass(frozen=True)
class MOPO:
    """Multi-Objective Preference Optimization: one objective under lower bounds on the others (MOPO).

    Name: MOPO
    Formula: (Δ − (1 + Σ_k sg[λ_k]·s_k)/(2τ))², s_k = sign(R_k(y_w) − R_k(y_l)), λ_k = κ·max(0, b − p_k), p_k the
        probability of winning by objective k, over the batch with weights ∝ e^ρ; SUM log-probs.
    Source: arXiv 2505.10892 for the problem: maximise the probability of winning by the primary objective, less τ·KL,
        where the probability of winning by each other objective is at least b. The loss is derived here: its optimum
        is π_ref·exp((P_1 + Σ_k λ_k·P_k)/τ), as IPO's (arXiv 2310.12036) is π_ref·exp(P_1/τ).
    From memory: everything about the paper's own updates, which could not be read. Its multipliers may have a memory;
        here each is that of a quadratic penalty, computed from the batch. Defaults are ours.
    Cost: 1.

    Offline, on pairs with a label of each objective: the users' label is primary, and every designer objective of the
    experiment labels the same pair by its rewards, a tie with 0. A multiplier is positive while its bound is violated, and
    0 otherwise: then this is IPO on SUM log-probs.

    Parameters
    ----------
    bound : float, in [0, 1]
        b, the least probability of winning by each designer objective; 0 is IPO.
    tau : float, in (0, inf)
        τ, the weight of the divergence from the reference.
    penalty : float, in [0, inf)
        κ, the multiplier of a bound that is missed by 1.
    """

    bound: float = 0.5
    tau: float = 0.1
    penalty: float = 20.0

    needs: ClassVar[Needs] = Needs(references=1, rewards=True, objective_rewards=True, couples_examples=True)
    sweep: ClassVar[str | None] = "bound"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, bound="[0, 1]", tau="(0, inf)", penalty="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        signs = (batch.objective_rewards[:, 0] - batch.objective_rewards[:, 1]).sign()
        wins = win_probabilities(batch.log_ratios.detach(), signs)
        multipliers = self.penalty * (self.bound - wins).clamp(min=0)
        target = (1 + signs @ multipliers) / (2 * self.tau)
        figures = {"bound_missed": (self.bound - wins).clamp(min=0).max(), "multiplier": multipliers.mean()}
        return pairwise(batch.delta, (batch.delta - target).square(), **figures)


def win_probabilities(log_ratios: Tensor, signs: Tensor) -> Tensor:
    """Probability that the policy's response wins over the reference's by each objective, shape (M,); a tie counts ½.

    A self-normalised mean over all responses of the batch, each against the other one of its pair, with weights ∝ e^ρ.

    Parameters
    ----------
    log_ratios : Tensor, shape (N, 2)
    signs : Tensor, shape (N, M)
        1 where the first response is preferred, −1 where the second is, 0 for a tie.

    Examples
    --------
    >>> win_probabilities(torch.zeros(2, 2), torch.tensor([[1.0], [1.0]])).tolist()
    [0.5]
    >>> win_probabilities(torch.tensor([[3.0, 3.0]]).log() * torch.tensor([1.0, 0.0]), torch.ones(1, 1)).tolist()
    [0.75]
    """
    weights = torch.softmax(log_ratios.flatten(), dim=0).view_as(log_ratios)
    return 0.5 + 0.5 * ((weights[:, 0] - weights[:, 1]) @ signs)
