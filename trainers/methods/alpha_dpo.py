"""α-DPO: an adaptive reward margin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("alpha_dpo")
@dataclass(frozen=True)
class AlphaDPO:
    """α-DPO: SimPO with a margin for each pair.

    Name: α-DPO
    Formula: −log σ(β(ℓ̄_w − ℓ̄_l − sg[m + α·M*])), M* = (Δ̄ − mean)/std of the batch, Δ̄ the gap of MEAN
        log-ratios, std the unbiased one.
    Source: arXiv 2410.10148 and the authors' code, whose β multiplies margin and α·M* alike; its setting for
        Gemma-2.
    From memory: nothing.
    Cost: 1.

    M* is standardised by the statistics of the optimizer batch. The authors' code takes moving averages with
    momentum 0.9 that start from 0 (a deviation ten times too small at the first step, and 0/0 where the policy
    is exactly the reference); batch statistics have neither fault and keep the loss free of state. Where all
    gaps are equal, and in a batch of one pair, M* is 0. The standard deviation is the unbiased one, as in the authors'
    code; the biased one, which this method had before, makes M* larger by √(N/(N − 1)).

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the log-probability per token.
    margin_ratio : float, in [0, inf)
        m = γ/β, the margin that all pairs share.
    alpha : float, in [0, inf)
        Weight of the pair's own margin; 0 is SimPO.
    """

    beta: float = 10.0
    margin_ratio: float = 0.4
    alpha: float = 0.05

    needs: ClassVar[Needs] = Needs(references=1, couples_examples=True)
    sweep: ClassVar[str | None] = "alpha"
    log_probs: ClassVar[str] = "MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", margin_ratio="[0, inf)", alpha="[0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        ratios = batch.log_ratios / batch.lengths
        margin = self.alpha * standardised(ratios[:, 0] - ratios[:, 1]).detach() + self.margin_ratio
        gap = batch.mean_logps[:, 0] - batch.mean_logps[:, 1]
        z = self.beta * (gap - margin)
        return pairwise(z, logistic(z), target_margin=margin)


def standardised(x: Tensor) -> Tensor:
    """(x − mean)/std with the unbiased standard deviation, and 0 where all are equal or there is one entry.

    Examples
    --------
    >>> import torch
    >>> standardised(torch.tensor([1.0, 2.0, 3.0])).tolist(), standardised(torch.tensor([5.0])).tolist()
    ([-1.0, 0.0, 1.0], [0.0])
    """
    if len(x) < 2:
        return x - x
    return (x - x.mean()) / x.std().clamp(min=1e-6)
