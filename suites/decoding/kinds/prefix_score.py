"""Controlled decoding: a value of the prefix added to the policy's log-probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register

VALUE = "value"
"""Role of the prefix value: its logits are V(prefix, t) for every token t."""


@register("prefix_score")
@dataclass(frozen=True)
class PrefixScore:
    r"""Controlled decoding: a value of the prefix added to the policy's log-probabilities.

    Formula: log π(t) + λ V(prefix, t), V = log E_π[e^{r/β} | prefix, t]. With λ = 1 and this exact V it is the tilt
    π e^{r/β}, the optimum of E r − β KL(·‖π).
    Source: arXiv 2310.17022 (its learned V is the expected reward).
    From memory: nothing. V is exact, on the enumerated responses; a token that leads to none of them has no probability.
    Cost: 1 forward pass for each token, and the value.

    Parameters
    ----------
    beta : float, in (0, inf)
    weight : float, in [0, inf)
        λ.
    """

    beta: float = 0.5
    weight: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("reward",)
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not 0 < self.beta < float("inf") or not 0 <= self.weight < float("inf"):
            raise ValueError(f"beta must be in (0, inf) and weight in [0, inf), not {self.beta} and {self.weight}")

    def exponent(self, reward: np.ndarray) -> np.ndarray:
        """r/β, of which the value is the conditional log-expectation."""
        return reward / self.beta

    def mix(self, guess: Guess) -> Mix:
        base = Part("base")  # without the user's frame, which would count the user's wish twice
        return Mix((base, Part(VALUE, coefficient=self.weight)) if self.weight else (base,))
