"""Sampling from one policy, in the frame that a user's context gives it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register


@register("plain")
@dataclass(frozen=True)
class Plain:
    """Sampling from one policy.

    Formula: π(y | frame, x).
    Source: none.
    From memory: nothing.
    Cost: 1 forward pass for each token.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ()
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 1

    def __post_init__(self) -> None:
        self.mix(Guess())

    def mix(self, guess: Guess) -> Mix:
        return Mix((Part("base", guess.frame),), temperature=self.temperature, top_p=self.top_p)
