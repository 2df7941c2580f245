"""Multi-objective decoding: a weighted product of policies at every token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register


@register("product")
@dataclass(frozen=True)
class Product:
    r"""MOD: a weighted product of policies at every token.

    Formula: π(t) ∝ ∏_k π_k(t)^{w_k}, for policies trained on one objective each with the reverse KL.
    Source: arXiv 2406.18853.
    From memory: nothing beyond the abstract's formula; weights are those of the user where no others are given.
    Cost: a forward pass of each policy with a weight above 0, for each token.

    Parameters
    ----------
    weights : mapping of str to float
        By role; the user's weights of the tastes after which the roles are named if empty. They are not negative, and are
        normalised to sum 1.
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    top_p: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("weights",)
    roles: ClassVar[tuple[str, ...] | None] = None
    contexts: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if self.weights and (min(self.weights.values()) < 0 or not sum(self.weights.values()) > 0):
            raise ValueError("weights must not be negative, nor all 0")

    def mix(self, guess: Guess) -> Mix:
        weights = self.weights or guess.weights
        if not weights:
            raise ValueError("product needs weights: of its settings, or of a user")
        total = sum(weights.values())
        parts = tuple(Part(role, coefficient=weight / total) for role, weight in weights.items() if weight > 0)
        return Mix(parts, temperature=self.temperature, top_p=self.top_p)
