"""The numerical precision of matrix products."""

from __future__ import annotations

import contextlib

import torch

from trainers.config import TrainConfig


def precision(config: TrainConfig) -> contextlib.AbstractContextManager[None]:
    """Context in which matrix products run in ``config.dtype``.

    Examples
    --------
    >>> with precision(TrainConfig(dtype="bfloat16")):
    ...     (torch.ones(1, 2) @ torch.ones(2, 1)).dtype
    torch.bfloat16
    """
    if config.dtype == "float32":
        return contextlib.nullcontext()
    return torch.autocast(torch.device(config.device).type, dtype=torch.bfloat16)
