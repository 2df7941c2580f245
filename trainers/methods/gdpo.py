"""Group Reward-Decoupled Normalization Policy Optimization."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import response_mean_loss, sample_needs
from trainers.methods.registry import register


@register("gdpo")
@dataclass(frozen=True)
class GDPO:
    """Group Reward-Decoupled Normalization Policy Optimization (GDPO).

    Name: GDPO
    Formula: `grpo` with A = (a − mean a)/(std a + 10⁻⁴) over the batch, a = Σ_m w_m·(r_m − mean r_m)/(std r_m + 10⁻⁴)
        over objectives m, each standardised over a prompt's G samples; token MEAN.
    Source: arXiv 2601.05242 and the authors' code; TRL's `multi_objective_aggregation` "normalize_then_sum".
    From memory: the default β = 0.04, which is that of `grpo`.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own. GRPO standardises the sum of the rewards: an objective of small spread
    is lost in it, and different mixtures with the same sum have the same advantage. Here every objective has the same
    spread before it is weighted. The user reward has weight 1, each designer objective w times its weight in R.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much the designer objectives count beside the users'; with 0 the users' alone are left.
    beta : float, in [0, inf)
        Weight β of the divergence from the reference; 0 needs no reference.
    clip : float, in (0, 1)
        ε: the ratio counts between 1 − ε and 1 + ε.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.04
    clip: float = 0.2
    samples: int = 8
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "MEAN, per token"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", beta="[0, inf)", clip="(0, 1)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return replace(sample_needs(self.weight, self.beta, couples_examples=True), objective_rewards=True)

    def loss(self, batch: MethodBatch) -> Loss:
        advantage = decoupled_advantages(batch.objective_rewards, batch.objective_weights)
        return response_mean_loss(batch, advantage, self.clip, self.beta)


def decoupled_advantages(rewards: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the objectives' advantages within a prompt, standardised over the batch; shape (N, K).

    Parameters
    ----------
    rewards : Tensor, shape (N, K, M)
    weights : Tensor, shape (N, M)

    Examples
    --------
    >>> import torch
    >>> rewards = torch.tensor([[[0.0, 9.0], [2.0, 9.0]], [[5.0, 0.0], [5.0, 100.0]]])
    >>> decoupled_advantages(rewards, torch.ones(2, 2)).tolist()
    [[-0.866, 0.866], [-0.866, 0.866]]
    """
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    standardised = centred / (rewards.std(dim=1, keepdim=True) + 1e-4)
    total = (standardised * weights[:, None]).sum(-1)
    return (total - total.mean()) / (total.std() + 1e-4)
