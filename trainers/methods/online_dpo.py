"""Online DPO."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from trainers.checks import check_counts, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.on_policy import reward_metrics, sample_needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("online_dpo")
@dataclass(frozen=True)
class OnlineDPO:
    """Online DPO: DPO on the policy's own samples.

    Name: online DPO
    Formula: −log σ(β(ρ_b − ρ_a)), b the best and a the worst of a prompt's G samples by their reward; SUM log-probs.
    Source: arXiv 2402.04792 (OAIF), with a reward in place of its annotator.
    From memory: the default β = 0.1.
    Cost: 3 or more: the policy samples what it learns from.

    On-policy: the responses are the policy's own, their reward is the users' plus w times the designer's. Of equally good
    samples the first counts; a prompt whose G rewards are equal has zero loss. Rounds of sampling with an offline loss
    are the outer loop `rounds`.

    Parameters
    ----------
    weight : float, in [0, inf)
        w: how much of the designer reward is added to the users'.
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    samples : int, in [2, inf)
        G: responses for each prompt.
    updates : int, in [1, inf)
        Steps taken on the same samples.
    """

    weight: float = 1.0
    beta: float = 0.1
    samples: int = 2
    updates: int = 1

    sweep: ClassVar[str | None] = "weight"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, weight="[0, inf)", beta="(0, inf)")
        check_counts(self, samples=2, updates=1)

    @property
    def needs(self) -> Needs:
        return sample_needs(self.weight, self.beta, token_level=False)

    def loss(self, batch: MethodBatch) -> Loss:
        ends = torch.stack([batch.rewards.argmax(dim=1), batch.rewards.argmin(dim=1)], dim=1)
        ratios = batch.log_ratios.gather(1, ends)
        z = self.beta * (ratios[:, 0] - ratios[:, 1])
        told_apart = (ends[:, 0] != ends[:, 1]).to(z.dtype)
        return pairwise(z, told_apart * logistic(z), told_apart=told_apart, **reward_metrics(batch))
