r"""Fit of the value head V(x) to rewards on fixed hidden states, and figures of how well it fits.

V(x) sees the prompt alone, so that it can be fitted on the base's prompt states before the first step:

.. math:: \min_V\ E\,|\tau - 1(e < 0)|\,e^2, \qquad e = R - V(x),

whose minimiser is the :math:`\tau`-expectile of the rewards of a prompt's responses (Newey and Powell 1987), the mean
at :math:`\tau = 1/2`.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from trainers.data.encoded import ranges
from trainers.objective.value_head import ValueHead

log = logging.getLogger(__name__)

HELD_OUT_SHARE = 0.1
"""Share of the distinct prompts that V never learns from."""

RATE_TIMES_WIDTH = 0.1
"""Learning rate of the fit times the width of the head: the same change of an activation at every width."""

BATCH, PATIENCE, LONGEST = 32, 40, 400
"""States of a step; passes without improvement after which the fit has converged; most passes."""

LARGEST_RESIDUAL, LEAST_EXPLAINED = 0.5, -0.1
"""Bounds of a sound head: |residual| in standard deviations of the rewards, and the explained share of variance.

A head that says 0 where rewards have mean 0.7 and standard deviation 0.2 is off by 3.5. On the oracle world's held-out
prompts a fitted head is off by less than 0.2.
"""


@dataclass(frozen=True)
class Points:
    """Rewards of M responses, and the state on which V(x) is computed for each.

    Parameters
    ----------
    states : Tensor, shape (U, H)
    rewards : Tensor, shape (M,)
    owners : ndarray of int64, shape (M,)
        Row of `states` of every reward.
    """

    states: Tensor
    rewards: Tensor
    owners: np.ndarray

    def batches(self, rng: np.random.Generator) -> Iterator[Points]:
        """All points in batches of `BATCH` states, in random order."""
        order = np.argsort(self.owners, kind="stable")
        rows, counts = np.unique(self.owners, return_counts=True)
        begins = np.cumsum(counts) - counts
        shuffled = rng.permutation(len(rows))
        for start in range(0, len(rows), BATCH):
            chosen = shuffled[start : start + BATCH]
            points = order[np.repeat(begins[chosen], counts[chosen]) + ranges(counts[chosen])]
            owners = np.repeat(np.arange(len(chosen)), counts[chosen])
            yield Points(self.states[rows[chosen]], self.rewards[points], owners)


@dataclass(frozen=True)
class Condition:
    """Condition of a value head on given responses.

    Parameters
    ----------
    residual : float
        Σ w·e / Σ w with w = |τ − 1(e < 0)|, in units of the reward: 0 where V is the expectile on average.
    explained : float
        1 − Var(e)/Var(R): the share of the rewards' variance that V explains, at most the share between prompts.
    spread : float
        Standard deviation of the rewards.
    """

    residual: float
    explained: float
    spread: float

    def is_sound(self) -> bool:
        """Whether V is near its expectile and no worse than a constant."""
        return abs(self.residual) <= LARGEST_RESIDUAL * self.spread and self.explained >= LEAST_EXPLAINED

    def warn(self, when: str) -> None:
        """Log a warning unless the head is sound."""
        if not self.is_sound():
            log.warning(
                "V(x) does not fit its rewards %s: on held-out prompts it is off its expectile by %.3g (rewards' standard "
                "deviation %.3g) and explains %.2f of their variance; advantages carry this error",
                when, self.residual, self.spread, self.explained,
            )  # fmt: skip


def held_out(prompts: int) -> np.ndarray:
    """Numbers of the prompts that V does not learn from, out of U; the same for every run on a data set."""
    return np.sort(np.random.default_rng(0).permutation(prompts)[: int(HELD_OUT_SHARE * prompts)])


def expectile_loss(error: Tensor, expectile: float) -> Tensor:
    """Mean of |τ − 1(e < 0)|·e²."""
    return ((expectile - (error < 0).to(error.dtype)).abs() * error.square()).mean()


def condition(values: Tensor, rewards: Tensor, expectile: float) -> Condition:
    """Condition of a head with values V, shape (M,), for responses with these rewards that it has not learned from."""
    error = (rewards - values).double()
    weight = (expectile - (error < 0).double()).abs()
    spread = rewards.double().std(correction=0)
    explained = 1 - error.var(correction=0) / spread.square().clamp(min=1e-12)
    return Condition(float((weight * error).sum() / weight.sum()), float(explained), float(spread))


def fit_value(head: ValueHead, learned: Points, kept_out: Points, expectile: float, seed: int) -> None:
    """Fit a head in place, to convergence on the points that are kept out.

    AdamW on standardised rewards with the head's dropout, at a rate of `RATE_TIMES_WIDTH` over its width; the weights
    of the best pass are taken. The last layer then carries the rewards' mean and standard deviation.

    Parameters
    ----------
    head : ValueHead
    learned, kept_out : Points
        Without points that are kept out, convergence is judged by the learned ones.
    expectile : float, in (0, 1)
    seed : int
    """
    judged = kept_out if len(kept_out.rewards) else learned
    mean, spread = learned.rewards.mean(), learned.rewards.std(correction=0).clamp(min=1e-6)
    width = head.first.weight.shape[0]
    optimizer = torch.optim.AdamW(head.parameters(), lr=RATE_TIMES_WIDTH / width)
    best, best_loss, stale, step = copy.deepcopy(head.state_dict()), torch.inf, 0, 0
    for number in range(LONGEST):
        for batch in learned.batches(np.random.default_rng([seed, number])):
            optimizer.zero_grad()
            values = head(batch.states, head.keep(len(batch.states), seed, step))
            loss = expectile_loss((batch.rewards - mean) / spread - values[batch.owners], expectile)
            torch.autograd.backward(loss)
            optimizer.step()
            step += 1
        with torch.no_grad():
            error = (judged.rewards - mean) / spread - head(judged.states, None)[judged.owners]
            reached = expectile_loss(error, expectile).item()
        if reached < best_loss * (1 - 1e-4):
            best, best_loss, stale = copy.deepcopy(head.state_dict()), reached, 0
        elif (stale := stale + 1) >= PATIENCE:
            break
    head.load_state_dict(best)
    head.zero_grad(set_to_none=True)
    with torch.no_grad():
        head.last.weight.mul_(spread)
        head.last.bias.mul_(spread).add_(mean)
