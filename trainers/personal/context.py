r"""Encoder of a user's pairs: a set of pairs becomes one vector, which is 0 for the empty set.

A pair's features :math:`[e_w; e_l]` go through a linear layer and self-attention over the pairs of the context; with their mean
:math:`\bar h` over n pairs,

.. math:: z = \frac{n}{n + n_0}\,\big(g(\bar h) - g(0)\big),

where g is an MLP and :math:`n_0 > 0` is learned. The order of the pairs, and padding, do not matter.

Source: the encoder of arXiv 2412.13998 and its code. Own here: the mean in place of the sum, which grows with n, and the
difference from :math:`g(0)`, so that an empty context leaves the model unconditioned; neither dropout nor batch normalisation, which
couples users.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

HEADS = 8
LARGEST = 8
"""Pairs of a context in training: 0 to so many."""


class ContextEncoder(nn.Module):
    """Vectors of contexts.

    Parameters
    ----------
    features : int
        d, of each response.
    width : int
        Of the vector; a multiple of the 8 heads.

    Examples
    --------
    >>> encoder = ContextEncoder(3, 8)
    >>> encoder(torch.zeros(2, 0, 2, 3), torch.zeros(2, 0, dtype=torch.bool)).abs().max().item()
    0.0
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        if width % HEADS:
            raise ValueError(f"width must be a multiple of {HEADS}, not {width}")
        self.width = width
        self.embed = nn.Linear(2 * features, width)
        self.attention = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.transform = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width))
        self.log_prior_pairs = nn.Parameter(torch.tensor(1.0))

    def forward(self, pairs: Tensor, mask: Tensor) -> Tensor:
        """Vectors of U contexts, shape (U, width).

        Parameters
        ----------
        pairs : Tensor, shape (U, n, 2, d)
            Features of the chosen and the rejected responses.
        mask : Tensor of bool, shape (U, n)
            False for padding.
        """
        size = mask.sum(1, keepdim=True)
        if not mask.shape[1]:
            return pairs.new_zeros(len(pairs), self.width)
        # A context without pairs attends to its padding, and is multiplied by 0 below.
        hidden = ~mask & (size > 0)
        states = self.embed(pairs.flatten(2))
        states, _ = self.attention(states, states, states, key_padding_mask=hidden, need_weights=False)
        mean = (states * mask[..., None]).sum(1) / size.clamp(min=1)
        share = size / (size + self.log_prior_pairs.exp())
        vectors: Tensor = share * (self.transform(mean) - self.transform(torch.zeros_like(mean)))
        return vectors


def padded_contexts(features: np.ndarray, contexts: list[np.ndarray], device: str = "cpu") -> tuple[Tensor, Tensor]:
    """Contexts as tensors for `ContextEncoder`.

    Parameters
    ----------
    features : ndarray, shape (N, 2, d)
        Of all pairs.
    contexts : list of ndarray of int
        Numbers of the pairs of each context.
    """
    longest = max(map(len, contexts), default=0)
    numbers = np.zeros((len(contexts), longest), np.int64)
    mask = np.zeros(numbers.shape, dtype=bool)
    for row, context in enumerate(contexts):
        numbers[row, : len(context)], mask[row, : len(context)] = context, True
    pairs = features[numbers] if len(features) else np.zeros((*numbers.shape, *features.shape[1:]))
    return torch.from_numpy(pairs.astype(np.float32)).to(device), torch.from_numpy(mask).to(device)


def drawn_contexts(owners: np.ndarray, targets: np.ndarray, rng: np.random.Generator) -> list[np.ndarray]:
    """A context of 0 to 8 other pairs of the same user for each target: a pair is never in its own context.

    Examples
    --------
    >>> contexts = drawn_contexts(np.array([0, 0, 1]), np.array([0, 2]), np.random.default_rng(1))
    >>> all(set(context) <= {1} for context in contexts[:1]), len(contexts[1])
    (True, 0)
    """
    contexts = []
    for target in targets:
        others = np.flatnonzero(owners == owners[target])
        others = others[others != target]
        size = min(int(rng.integers(0, LARGEST + 1)), len(others))
        contexts.append(rng.permutation(others)[:size])
    return contexts
