"""Alignment via Optimal Transport."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import pairwise, smoothed_logistic


@register("aot")
@dataclass(frozen=True)
class AOT:
    """Alignment via Optimal Transport, paired (AOT).

    Name: AOT
    Formula: mean over ranks i of (1 − ε)·(−log σ(z_i)) + ε·(−log σ(−z_i)), z_i = β(a_(i) − b_(i)), a_(i) and b_(i) the
        i-th smallest ℓ_w − ℓ_l and ℓ_ref,w − ℓ_ref,l of the optimizer batch; SUM log-probs.
    Source: arXiv 2406.05882; TRL's loss of type "aot".
    From memory: the defaults.
    Cost: 1.

    The loss asks for first-order stochastic dominance: the distribution of the policy's margins over the distribution of
    the reference's, not margin over margin pair by pair. Sorting solves the one-dimensional optimal transport problem. The
    loss of a rank is assigned to the pair whose margin under the policy has that rank. With one pair it is DPO.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the margin.
    epsilon : float, in [0, 0.5)
        Label smoothing.
    """

    beta: float = 0.1
    epsilon: float = 0.0

    needs: ClassVar[Needs] = Needs(references=1, couples_examples=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", epsilon="[0, 0.5)")

    def loss(self, batch: MethodBatch) -> Loss:
        gaps = batch.logps[:, 0] - batch.logps[:, 1]
        held = (batch.reference[:, 0] - batch.reference[:, 1]).sort().values
        z = self.beta * (gaps - held[ranks(gaps)])
        return pairwise(z, smoothed_logistic(z, self.epsilon))


@register("aot_unpaired")
@dataclass(frozen=True)
class AOTUnpaired:
    """Alignment via Optimal Transport, unpaired (AOT).

    Name: AOT (unpaired)
    Formula: ∫ over u in (0, 1) of (1 − ε)·(−log σ(z_u)) + ε·(−log σ(−z_u)), z_u = β(Q_w(u) − Q_l(u)), Q_w and Q_l the
        quantile functions of ρ over the desirable and over the undesirable responses of the optimizer batch; SUM
        log-probs.
    Source: arXiv 2406.05882; TRL's loss of type "aot_unpaired" where both classes are equally large.
    From memory: the defaults; for classes of different sizes the paper interpolates quantiles, here the step
        functions are integrated exactly.
    Cost: 1.

    The loss asks for first-order stochastic dominance of the implicit rewards of desirable responses over those of
    undesirable ones. It is assigned to the examples of the desirable responses; a batch without both classes has zero
    loss. With one pair it is DPO.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    epsilon : float, in [0, 0.5)
        Label smoothing.
    """

    beta: float = 0.1
    epsilon: float = 0.0

    needs: ClassVar[Needs] = Needs(pairs=False, references=1, couples_examples=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", epsilon="[0, 0.5)")

    def loss(self, batch: MethodBatch) -> Loss:
        ratios, examples = batch.log_ratios, len(batch.logps)
        winners, losers = ratios[batch.desirable], ratios[~batch.desirable]
        order = winners.detach().argsort()
        first, second, mass = quantile_coupling(len(winners), len(losers))
        z = self.beta * (winners[order][first] - losers.sort().values[second])
        terms = mass.to(z) * smoothed_logistic(z, self.epsilon)
        owners = batch.desirable.nonzero()[:, 0][order][first]
        per_example = z.new_zeros(examples).index_add(0, owners, examples * terms)
        return Loss(per_example, {"rank_accuracy": (mass.to(z) * (z.detach() > 0)).sum()})


def ranks(x: Tensor) -> Tensor:
    """The place of each entry in ascending order, from 0.

    Examples
    --------
    >>> ranks(torch.tensor([5.0, -1.0, 2.0])).tolist()
    [2, 0, 1]
    """
    return x.detach().argsort().argsort()


def quantile_coupling(winners: int, losers: int) -> tuple[Tensor, Tensor, Tensor]:
    """The monotone coupling of two uniform distributions on `winners` and `losers` ordered points.

    Returns
    -------
    tuple of Tensor
        Places in the one, places in the other, and the mass that lies on each such pair; empty where either is.

    Examples
    --------
    >>> [table.tolist() for table in quantile_coupling(2, 2)]
    [[0, 1], [0, 1], [0.5, 0.5]]
    >>> [table.tolist() for table in quantile_coupling(1, 2)]
    [[0, 0], [0, 1], [0.5, 0.5]]
    """
    if not winners or not losers:
        return torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0)
    steps = winners * losers
    cuts = sorted({*range(0, steps, losers), *range(0, steps, winners), steps})
    start, end = torch.tensor(cuts[:-1]), torch.tensor(cuts[1:])
    return start // losers, start // winners, (end - start).double() / steps
