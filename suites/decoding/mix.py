r"""Mixtures of next-token distributions: several policies or contexts whose logits are added at every step.

A mixture of parts :math:`m`, each a policy :math:`\pi_m` in a frame, has the logits :math:`z = \sum_m c_m z_m`. Its nucleus is
that of one part, so that tokens which this part finds improbable stay excluded whatever the coefficients are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from suites.decoding.distribution import inside_nucleus
from trainers.tokens.framing import Frame

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Part:
    """One policy in one frame.

    Parameters
    ----------
    policy : str
        Its role, such as ``base``.
    frame : Frame
        Around the prompt.
    coefficient : float
        Of its logits.
    previous : float
        Coefficient of its logits at the position before, on the same vocabulary; OPAD has them.
    """

    policy: str
    frame: Frame = Frame()
    coefficient: float = 1.0
    previous: float = 0.0


@dataclass(frozen=True)
class Mix:
    """Parts of a mixture, and how it is sampled.

    Parameters
    ----------
    parts : tuple of Part
    mask_from : int
        The part whose nucleus bounds the tokens.
    temperature : float
        0 takes the most probable token of the nucleus.
    top_p : float
        Mass of the nucleus.
    nucleus_temperature : float, optional
        At which the nucleus is taken; the temperature if not given (1 where that is 0).
    """

    parts: tuple[Part, ...]
    mask_from: int = 0
    temperature: float = 1.0
    top_p: float = 1.0
    nucleus_temperature: float | None = None

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a mixture needs at least one part")
        if self.temperature < 0 or (self.nucleus_temperature is not None and self.nucleus_temperature <= 0):
            raise ValueError("temperature must not be negative, and nucleus_temperature must be positive")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], not {self.top_p}")

    def distribution(self, logits: Sequence[Tensor], previous: Sequence[Tensor] | None = None) -> Tensor:
        r"""Probabilities of the next token, shape (N, V), float64, 0 outside the nucleus; rows need not have sum 1.

        Parameters
        ----------
        logits : sequence of Tensor, each of shape (N, V)
            Of each part.
        previous : sequence of Tensor, optional
            At the position before; None at the first one.

        Examples
        --------
        >>> import torch
        >>> with_, without = torch.tensor([[0.6, 0.4]]).log(), torch.tensor([[0.5, 0.5]]).log()
        >>> mix = Mix((Part("base", Frame("be polite . "), 3.0), Part("base", Frame(), -2.0)))
        >>> round(mix.distribution([with_, without])[0, 0].item(), 6), round(0.6**3 / (0.6**3 + 0.4**3), 6)
        (0.771429, 0.771429)
        """
        import torch

        z = torch.zeros_like(logits[0], dtype=torch.float64)
        for part, member in zip(self.parts, logits, strict=True):
            z += part.coefficient * member.double()
        for part, member in zip(self.parts, previous or (), strict=previous is not None):
            z += part.previous * member.double()
        nucleus = self._nucleus(logits[self.mask_from])
        if self.temperature == 0:
            best = z.masked_fill(~nucleus, -torch.inf).argmax(-1)
            return torch.zeros_like(z).scatter(-1, best[:, None], 1.0)
        p = torch.softmax(z / self.temperature, -1).masked_fill(~nucleus, 0.0)
        # The tokens of the nucleus can be so improbable in z that nothing is left of them.
        again = torch.softmax(z.masked_fill(~nucleus, -torch.inf) / self.temperature, -1)
        return torch.where(p.sum(-1, keepdim=True) > 0, p, again)

    def _nucleus(self, logits: Tensor) -> Tensor:
        import torch

        temperature = self.nucleus_temperature or self.temperature or 1.0
        return inside_nucleus(torch.softmax(logits.double() / temperature, -1), self.top_p)
