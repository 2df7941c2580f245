"""RosePO: personalised label smoothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise, smoothed_logistic


@register("rosepo")
@dataclass(frozen=True)
class RosePO:
    """RosePO: personalised label smoothing.

    Name: RosePO
    Formula: (1 − ε_i)·(−log σ(βΔ_i)) + ε_i·(−log σ(−βΔ_i)), ε_i = min(σ((R_l − R_w)/T), ½); SUM log-probs.
    Source: arXiv 2410.12519.
    From memory: that the smoothing is not debiased as in rDPO, and the defaults; ε_i from rewards is this
        project's language-model analogue of the paper's preference oracle.
    Cost: 1.

    A pair that the rewards contradict has ε = ½, where the loss only pulls Δ to 0. The paper's built rejected
    responses are a step of the data, not of the loss.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    temperature : float, in (0, inf)
        T, in units of the reward: how large a gap makes a label certain; T → 0 is DPO on agreeing pairs.
    """

    beta: float = 0.1
    temperature: float = 1.0

    needs: ClassVar[Needs] = Needs(references=1, rewards=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", temperature="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        gap = batch.rewards[:, 0] - batch.rewards[:, 1]
        epsilon = torch.sigmoid(-gap / self.temperature).clamp(max=0.5)
        return pairwise(z, smoothed_logistic(z, epsilon), label_noise=epsilon)
