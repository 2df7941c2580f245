"""Number and rank of the processes that train one policy."""

from __future__ import annotations

import torch.distributed as dist


def is_shared() -> bool:
    """Whether this process is one of several that train one policy."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def is_first() -> bool:
    """Whether this process is the one that writes and reports."""
    return not is_shared() or dist.get_rank() == 0


def wait_for_all() -> None:
    """Come back when every process is here."""
    if is_shared():
        dist.barrier()
