"""Padding of bfloat16 CPU tensors to a few fixed shapes; oneDNN compiles a kernel for every new one.

Texts rarely have the same length twice, so without padding almost every matrix product would compile a kernel first.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

STEP = 64


def needs_fixed_shapes(device: str, dtype: torch.dtype) -> bool:
    """Whether this device and dtype benefit from fixed shapes."""
    return device == "cpu" and dtype != torch.float32


def padding_to(size: int) -> int:
    """Padding from a size to the next multiple of `STEP`.

    Examples
    --------
    >>> padding_to(100), padding_to(128)
    (28, 0)
    """
    return -size % STEP


def pad_to_multiple(tensor: Tensor, dim: int) -> Tensor:
    """The tensor, padded with zeros along one dimension to a multiple of `STEP`.

    Examples
    --------
    >>> pad_to_multiple(torch.ones(3, 100), 1).shape
    torch.Size([3, 128])
    """
    behind = [0, 0] * (tensor.ndim - 1 - dim % tensor.ndim) + [0, padding_to(tensor.shape[dim])]
    return functional.pad(tensor, behind) if behind[-1] else tensor
