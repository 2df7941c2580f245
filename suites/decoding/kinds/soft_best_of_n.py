"""Soft best-of-n: one of n samples, with probabilities that grow with the reward."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import softmax

from suites.decoding.registry import register


@register("soft_best_of_n")
@dataclass(frozen=True)
class SoftBestOfN:
    r"""Soft best-of-n: one of n samples, with probabilities that grow with the reward.

    Formula: sample i is chosen with probability ∝ a_i = e^{r_i/λ}, so that
    P(y) = n π(y) ∫ a e^{−ta} (E_π e^{−ta'})^{n−1} dt: π for n = 1, the tilt π e^{r/λ} for n → ∞.
    Source: arXiv 2505.03156; the integral is derived here from 1/Σa = ∫ e^{−tΣa} dt.
    From memory: nothing.
    Cost: n responses for each one that is returned, and their rewards.

    Parameters
    ----------
    n : int, at least 1
    temperature : float, in (0, inf)
        λ.
    """

    n: int = 4
    temperature: float = 0.5

    needs: ClassVar[tuple[str, ...]] = ("reward",)
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.n < 1 or not 0 < self.temperature < float("inf"):
            raise ValueError(f"n must be at least 1 and temperature in (0, inf), not {self.n} and {self.temperature}")

    def law(self, policy: np.ndarray, reward: np.ndarray) -> np.ndarray:
        """Distribution of the chosen response, by quadrature in log t, for a policy on the enumerated responses.

        Parameters
        ----------
        policy, reward : ndarray, shape (P, Y)
            The policy's rows may have sum below 1: the rest is text off the enumeration, chosen only where all samples are.

        Examples
        --------
        >>> SoftBestOfN(n=1).law(np.array([[0.5, 0.5]]), np.array([[0.0, 1.0]])).round(9).tolist()
        [[0.5, 0.5]]
        """
        chosen = np.empty_like(policy)
        for p, r, out in zip(policy, reward, chosen, strict=True):
            elsewhere = max(1.0 - float(p.sum()), 0.0)
            log_a = (r - r.max()) / self.temperature
            # The integrand in s = log t is smooth and vanishes doubly exponentially on the right, exponentially on the left.
            s, step = np.linspace(-30.0, 5.0 - log_a.min(), 400, retstep=True)
            ta = np.exp(s[:, None] + log_a)
            alive = np.exp(-ta)
            rest = (elsewhere + alive @ p) ** (self.n - 1)
            out[:] = self.n * p * (ta * alive * rest[:, None]).sum(axis=0) * step
        return chosen

    def pick(self, rewards: np.ndarray, u: float) -> int:
        """The sample at quantile `u` of the softmax of the rewards."""
        return int(np.searchsorted(softmax(np.asarray(rewards) / self.temperature).cumsum(), u, side="right"))
