"""Best-of-n: the best of n samples by a reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from suites.decoding.registry import register


@register("best_of_n")
@dataclass(frozen=True)
class BestOfN:
    r"""Best-of-n: the best of n samples by a reward.

    Formula: P(y) = (F(≤ r_y)^n − F(< r_y)^n) π(y)/π(r = r_y), F the distribution of the reward under π.
    Source: arXiv 2112.09332; its KL, arXiv 2401.01879: at most log n − (n − 1)/n.
    From memory: nothing.
    Cost: n responses for each one that is returned, and their rewards.

    Parameters
    ----------
    n : int, at least 1
    """

    n: int = 4

    needs: ClassVar[tuple[str, ...]] = ("reward",)
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ValueError(f"n must be at least 1, not {self.n}")

    def law(self, policy: np.ndarray, reward: np.ndarray) -> np.ndarray:
        """Distribution of the chosen response, exactly, for a policy on the enumerated responses.

        Parameters
        ----------
        policy, reward : ndarray, shape (P, Y)
            The policy's rows may have sum below 1: the rest is text off the enumeration, worse than any response of it.

        Examples
        --------
        >>> BestOfN(n=2).law(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).tolist()
        [[0.25, 0.75]]
        """
        chosen = np.empty_like(policy)
        for p, r, out in zip(policy, reward, chosen, strict=True):
            _, level = np.unique(r, return_inverse=True)
            mass = np.bincount(level, p)
            elsewhere = max(1.0 - float(mass.sum()), 0.0)
            below = elsewhere + np.concatenate([[0.0], mass.cumsum()])
            best = np.diff(below**self.n)
            share = np.divide(best, mass, out=np.zeros_like(best), where=mass > 0)
            out[:] = share[level] * p
        return chosen

    def pick(self, rewards: np.ndarray, u: float) -> int:
        """The first sample with the highest reward, which is independent of the samples with the same reward."""
        return int(np.argmax(rewards))
