"""Nucleus and quantile of a distribution of tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def inside_nucleus(p: Tensor, top_p: float) -> Tensor:
    """The smallest set of most probable tokens whose mass reaches `top_p`, as a mask; never empty.

    Examples
    --------
    >>> import torch
    >>> inside_nucleus(torch.tensor([[0.2, 0.5, 0.3]]), 0.6).tolist()
    [[False, True, True]]
    """
    import torch

    if top_p >= 1:
        return torch.ones_like(p, dtype=torch.bool)
    ranked, order = p.sort(dim=-1, descending=True, stable=True)
    inside = ranked.cumsum(-1) - ranked < top_p
    return torch.zeros_like(inside).scatter(-1, order, inside)


def quantile(p: Tensor, u: Tensor) -> Tensor:
    """The token at quantile `u` of each row, shape (B,); rows of `p` (B, V) need not have sum 1.

    Examples
    --------
    >>> import torch
    >>> quantile(torch.tensor([[0.0, 0.5, 0.5]]).double(), torch.tensor([0.6]).double()).tolist()
    [2]
    """
    import torch

    cumulative = p.cumsum(-1)
    token = torch.searchsorted(cumulative, u[:, None] * cumulative[:, -1:], right=True)[:, 0]
    last = p.shape[-1] - 1 - (p > 0).flip(-1).int().argmax(-1)
    return torch.minimum(token, last)
