"""Noise Contrastive Alignment, from preferences and from rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import cross_entropy, logistic, pairwise


@register("nca")
@dataclass(frozen=True)
class NCA:
    """Noise Contrastive Alignment from preferences.

    Name: NCA
    Formula: −log σ(βρ_w) − ½·log σ(−βρ_w) − ½·log σ(−βρ_l); SUM log-probs.
    Source: arXiv 2402.05369 and the authors' code.
    From memory: nothing.
    Cost: 1.

    Absolute rather than relative: the chosen response's likelihood cannot fall together with the rejected one's.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    beta: float = 0.01

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        chosen, rejected = (self.beta * batch.log_ratios[:, k] for k in (0, 1))
        contrast = logistic(chosen) + 0.5 * logistic(-chosen) + 0.5 * logistic(-rejected)
        return pairwise(chosen - rejected, contrast)


@register("nca_reward")
@dataclass(frozen=True)
class NCAReward:
    """Noise Contrastive Alignment from rewards.

    Name: NCA (rewards)
    Formula: −Σ_k [p_k·log σ(βρ_k) + (1/K)·log σ(−βρ_k)], p = softmax_k(R_k/α); SUM log-probs.
    Source: arXiv 2402.05369.
    From memory: nothing; α = 10⁻³ is the default of the authors' trainer, their configuration file has 10⁻⁴.
    Cost: 1 for two responses, K/2 for K.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    alpha : float, in (0, inf)
        Temperature of the rewards, in their unit.
    """

    beta: float = 0.01
    alpha: float = 0.001

    needs: ClassVar[Needs] = Needs(references=1, rewards=True, groups=True)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        implicit = self.beta * batch.log_ratios
        target = torch.softmax(batch.rewards / self.alpha, dim=1)
        return Loss((target * logistic(implicit)).sum(dim=1) + logistic(-implicit).mean(dim=1), {})


@register("infonca")
@dataclass(frozen=True)
class InfoNCA:
    """InfoNCA: contrastive alignment from rewards.

    Name: InfoNCA
    Formula: −Σ_k softmax_k(R_k/α)·log softmax_k(β·ρ_k) over a prompt's responses; SUM log-probs.
    Source: arXiv 2402.05369; also DPO-rw of arXiv 2402.00856.
    From memory: nothing; α = 10⁻³ is the default of the authors' trainer, their configuration file has 10⁻⁴.
    Cost: 1 for two responses, K/2 for K.

    For two responses and α → 0 it is DPO with the rewards' labels.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    alpha : float, in (0, inf)
        Temperature of the rewards, in their unit.
    """

    beta: float = 0.01
    alpha: float = 0.001

    needs: ClassVar[Needs] = Needs(references=1, rewards=True, groups=True)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", alpha="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        target = torch.softmax(batch.rewards / self.alpha, dim=1)
        return Loss(cross_entropy(target, torch.log_softmax(self.beta * batch.log_ratios, dim=1)), {})
