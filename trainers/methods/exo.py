"""Efficient Exact Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise, reverse_kl


@register("exo")
@dataclass(frozen=True)
class EXO:
    """Efficient Exact Optimization from preferences (EXO-pref).

    Name: EXO
    Formula: KL(q ‖ p), q = (σ(βΔ), σ(−βΔ)), p = (1 − ε, ε); SUM log-probs.
    Source: arXiv 2402.00856, eq. 16, and the authors' code.
    From memory: nothing.
    Cost: 1.

    Reverse KL where DPO has forward KL: mode seeking. ε is a real hyperparameter: the gradient at Δ = 0 is
    −2.5 for the default (DPO: −0.5), so the learning rate needs retuning, and it vanishes for badly wrong pairs
    (−9e-4 at βΔ = −10), so start near the reference. The authors' unnormalised target (0, −10) differs by 4.5e-5.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    epsilon : float, in (0, 0.5)
        ε; the default is σ(−10).
    """

    beta: float = 0.5
    epsilon: float = 4.5397868702434395e-05

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", epsilon="(0, 0.5)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        log_q = torch.stack([-logistic(z), -logistic(-z)], dim=-1)
        log_p = torch.stack([torch.log1p(-z.new_tensor(self.epsilon)), torch.log(z.new_tensor(self.epsilon))])
        return pairwise(z, reverse_kl(log_q, log_p))


@register("exo_reward")
@dataclass(frozen=True)
class EXOReward:
    """Efficient Exact Optimization from rewards (EXO-rw).

    Name: EXO (rewards)
    Formula: KL(softmax_k(β·ρ_k) ‖ softmax_k(R_k/T)) over a prompt's responses; SUM log-probs.
    Source: arXiv 2402.00856 and the authors' code.
    From memory: nothing.
    Cost: 1 for two responses, K/2 for K.

    Labels are not used. The forward KL between the same two distributions is `infonca`.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    reward_temperature : float, in (0, inf)
        T, in units of the reward.
    """

    beta: float = 0.5
    reward_temperature: float = 0.5

    needs: ClassVar[Needs] = Needs(references=1, rewards=True, groups=True)
    sweep: ClassVar[str | None] = "reward_temperature"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", reward_temperature="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        log_q = torch.log_softmax(self.beta * batch.log_ratios, dim=1)
        log_p = torch.log_softmax(batch.rewards / self.reward_temperature, dim=1)
        return Loss(reverse_kl(log_q, log_p), {})
