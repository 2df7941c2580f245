"""Sizes that come again, where a size met for the first time costs.

On processors oneDNN multiplies matrices of bfloat16, with code that it makes for each shape when it first meets it. Text
hardly ever has the same length twice, so what is multiplied is padded with zeros to sizes that repeat.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

STEP = 64


def needs_fixed_shapes(device: str, dtype: torch.dtype) -> bool:
    """Whether sizes had better repeat on this type of device in this precision."""
    return device == "cpu" and dtype != torch.float32


def padding_to(size: int) -> int:
    """How much a size lacks of the next that repeats.

    Examples
    --------
    >>> padding_to(100), padding_to(128)
    (28, 0)
    """
    return -size % STEP


def pad_to_multiple(tensor: Tensor, dim: int) -> Tensor:
    """The tensor with zeros behind it along one dimension, so that its size there repeats.

    Examples
    --------
    >>> pad_to_multiple(torch.ones(3, 100), 1).shape
    torch.Size([3, 128])
    """
    behind = [0, 0] * (tensor.ndim - 1 - dim % tensor.ndim) + [0, padding_to(tensor.shape[dim])]
    return functional.pad(tensor, behind) if behind[-1] else tensor
