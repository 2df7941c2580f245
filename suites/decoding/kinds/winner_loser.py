"""Contrast of a policy of the responses that a user chooses with one of those that the user rejects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register

LOSER = "loser"
"""Role of the policy of rejected responses; that of chosen ones is the user's `base`."""


@register("winner_loser")
@dataclass(frozen=True)
class WinnerLoser:
    r"""Contrast of a policy of the responses that a user chooses with one of those that the user rejects.

    Formula: z = (1 + c) z_w − c z_l at every token, within the nucleus of softmax(z_w/T).
    Source: arXiv 2503.18347, whose plans are guided by a winner's and a loser's embedding.
    From memory: nothing; the form is that of classifier-free guidance.
    Cost: 2 forward passes for each token.

    Parameters
    ----------
    scale : float, in [0, inf)
        c; 0 is the policy of the chosen responses.
    temperature : float
    top_p : float, in (0, 1]
    """

    scale: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0

    needs: ClassVar[tuple[str, ...]] = ("loser",)
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not 0 <= self.scale < float("inf"):
            raise ValueError(f"scale must be in [0, inf), not {self.scale}")
        self.mix(Guess())

    def mix(self, guess: Guess) -> Mix:
        parts = (Part("base", guess.frame, 1.0 + self.scale), Part(LOSER, guess.frame, -self.scale))
        return Mix(parts, temperature=self.temperature, top_p=self.top_p)
