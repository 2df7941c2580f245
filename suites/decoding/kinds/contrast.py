"""Linear Alignment: the contrast of one policy with and without an instruction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, register
from trainers.tokens.framing import Frame


@register("contrast")
@dataclass(frozen=True)
class Contrast:
    r"""Linear Alignment: the contrast of one policy with and without an instruction.

    Formula: z = (1 + κ) z_with − κ z_without at every token, within the nucleus of softmax(z_with/T). OPAD: κ = 1/β, and the
    ratio at the position before counts too, z + κ (z_with − z_without) of that position.
    Source: arXiv 2401.11458 and its code; OPAD arXiv 2502.14204 and its code.
    From memory: nothing. The released scripts pass `top_p` where the function reads `topp`, so that 0.8 holds always, and give no
    positions, so that a left-padded batch is wrong; neither is done here.
    Cost: 2 forward passes for each token.

    Parameters
    ----------
    kappa : float, in [-1, inf)
        How far to go beyond the policy with the instruction: 0 is that policy, −1 the policy without it.
    temperature : float
        0 is greedy. The released default is greedy.
    top_p : float, in (0, 1]
    nucleus_temperature : float, optional
        Of the nucleus where decoding is greedy.
    previous : bool
        Whether the ratio at the position before counts (OPAD).
    instruction : str
        In front of the prompt, where no user's context gives a frame.
    """

    kappa: float = 2.0
    temperature: float = 1.0
    top_p: float = 1.0
    nucleus_temperature: float | None = None
    previous: bool = False
    instruction: str = ""

    needs: ClassVar[tuple[str, ...]] = ("frame",)
    roles: ClassVar[tuple[str, ...] | None] = ("base",)
    contexts: ClassVar[int] = 2

    def __post_init__(self) -> None:
        if not -1 <= self.kappa < float("inf"):
            raise ValueError(f"kappa must be in [-1, inf), not {self.kappa}")
        self.mix(Guess())

    def mix(self, guess: Guess) -> Mix:
        before = self.kappa if self.previous else 0.0
        with_ = Part("base", Frame(self.instruction) if self.instruction else guess.frame, 1.0 + self.kappa, before)
        without = Part("base", Frame(), -self.kappa, -before)
        return Mix((with_, without), 0, self.temperature, self.top_p, self.nucleus_temperature)
