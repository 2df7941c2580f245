"""Proxy tuning: the difference of a small tuned and a small untuned policy added to a large one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register


@register("proxy")
@dataclass(frozen=True)
class Proxy:
    r"""Proxy tuning: the difference of a small tuned and a small untuned policy added to a large one.

    Formula: z = z_base + α (z_expert − z_anti).
    Source: arXiv 2401.08565 and its code (α = 1); emulated fine-tuning, arXiv 2310.12962.
    From memory: nothing.
    Cost: 3 forward passes for each token, two of them of the small policies.

    Parameters
    ----------
    alpha : float, in [0, inf)
    """

    alpha: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ()
    roles: ClassVar[tuple[str, ...] | None] = ("base", "expert", "anti")
    contexts: ClassVar[int] = 3

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"alpha must be in [0, inf), not {self.alpha}")

    def mix(self, guess: Guess) -> Mix:
        coefficients = {"base": 1.0, "expert": self.alpha, "anti": -self.alpha}
        parts = tuple(Part(role, guess.frame, coefficient) for role, coefficient in coefficients.items())
        return Mix(parts, temperature=self.temperature, top_p=self.top_p)
