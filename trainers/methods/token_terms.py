"""Shared pieces of the losses on single tokens: rewards at the end, discounting, advantages, means over tokens."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.methods.interface import Tokens


def at_the_end(rewards: Tensor, mask: Tensor) -> Tensor:
    """Rewards of responses, shape (N, K), on the last token of each, shape (N, K, T)."""
    last = mask & ~functional.pad(mask[..., 1:], (0, 1))
    return rewards[..., None] * last


def discounted(x: Tensor, rate: float) -> Tensor:
    """Σ_{s≥t} rate^(s−t)·x_s over the last dimension.

    Examples
    --------
    >>> discounted(torch.tensor([1.0, 0.0, 4.0]), 0.5).tolist()
    [2.0, 2.0, 4.0]
    """
    step = torch.arange(x.shape[-1], device=x.device)
    ahead = step[:, None] - step
    return x @ (rate ** ahead.clamp(min=0).to(x.dtype)).tril()


def generalised_advantages(rewards: Tensor, tokens: Tokens, discount: float, trace: float) -> Tensor:
    """Â_t = Σ_{s≥t} (γλ)^(s−t)·(r_s + γV_{s+1} − V_s), V = 0 after the end; detached, shape (N, K, T)."""
    values = tokens.values.detach() * tokens.mask
    residuals = rewards + discount * functional.pad(values[..., 1:], (0, 1)) - values
    return discounted(residuals, discount * trace) * tokens.mask


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the entries where `mask` holds."""
    return (x * mask).sum() / mask.sum()


def whiten(x: Tensor, mask: Tensor) -> Tensor:
    """x with mean 0 and variance 1 over the entries where `mask` holds; 0 where they are all equal, and elsewhere.

    Examples
    --------
    >>> whiten(torch.tensor([1.0, 3.0, 9.0]), torch.tensor([True, True, False])).tolist()
    [-1.0, 1.0, 0.0]
    """
    centred = (x - masked_mean(x, mask)) * mask
    return centred * (masked_mean(centred.square(), mask) + 1e-8).rsqrt()


def per_response(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over the tokens of each response, shape (N, K)."""
    return (x * mask).sum(-1) / mask.sum(-1)


def batch_token_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Each example's part of the mean over all tokens of the batch, shape (N,); the parts' mean is that mean.

    Examples
    --------
    >>> import torch
    >>> mask = torch.tensor([[[True, True, True]], [[True, False, False]]])
    >>> batch_token_mean(torch.tensor([[[1.0, 1.0, 1.0]], [[5.0, 5.0, 5.0]]]), mask).tolist()
    [1.5, 2.5]
    """
    return len(x) * (x * mask).sum((1, 2)) / mask.sum()
