"""Choice of tokens, such that a sample depends on its prompt, its trial and the seed alone.

Every (seed, prompt id, trial) has its own stream of uniform numbers, and a token is chosen by inverting
the model's cumulative distribution at the next of them. Batch size, order and padding therefore change
nothing (beyond float rounding of the logits, which moves a token only when the uniform falls within it
of a boundary), and two policies are compared with common random numbers.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from suites.decoding.distribution import inside_nucleus, quantile

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


@dataclass(frozen=True)
class Decoding:
    """How responses are sampled.

    Parameters
    ----------
    max_new_tokens : int
    temperature : float
        0 is greedy.
    top_p : float
        Nucleus: the smallest set of most probable tokens whose mass reaches `top_p`.
    samples : int
        Trials per prompt.
    seed : int
    batch_size : int
        Rows per forward pass; changes speed and memory only.
    """

    max_new_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    samples: int = 1
    seed: int = 0
    batch_size: int = 128

    def __post_init__(self) -> None:
        for name in ("max_new_tokens", "samples", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"decoding: {name} must be at least 1, not {getattr(self, name)}")
        if self.temperature < 0:
            raise ValueError(f"decoding: temperature must not be negative, not {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"decoding: top_p must be in (0, 1], not {self.top_p}")


def uniforms(decoding: Decoding, prompt_id: str, trial: int) -> np.ndarray:
    """The uniform numbers of one sample, shape (max_new_tokens,); a longer limit extends them.

    Examples
    --------
    >>> short, long = (uniforms(Decoding(n), "p0", 0) for n in (2, 5))
    >>> (short == long[:2]).all().item()
    True
    """
    import numpy as np

    prompt_key = int.from_bytes(hashlib.sha256(prompt_id.encode()).digest()[:8], "little")
    return np.random.default_rng([decoding.seed, trial, prompt_key]).random(decoding.max_new_tokens)


def choose(logits: Tensor, u: Tensor, temperature: float, top_p: float) -> Tensor:
    """The token at quantile `u` of each row's next-token distribution.

    Parameters
    ----------
    logits : Tensor, shape (B, V)
    u : Tensor of float64, shape (B,)
        Uniform numbers in [0, 1).

    Returns
    -------
    Tensor of int64, shape (B,)

    Examples
    --------
    >>> import torch
    >>> logits = torch.tensor([[0.2, 0.5, 0.3]]).log()
    >>> [choose(logits, torch.tensor([u]).double(), 1.0, 1.0).item() for u in (0.1, 0.6, 0.8)]
    [0, 1, 2]
    >>> [choose(logits, torch.tensor([u]).double(), 1.0, 0.4).item() for u in (0.1, 0.9)]
    [1, 1]
    """
    import torch

    if temperature == 0:
        return logits.argmax(-1)
    p = torch.softmax(logits.double() / temperature, -1)
    if top_p < 1:
        p = p.masked_fill(~inside_nucleus(p, top_p), 0.0)
    return quantile(p, u)
