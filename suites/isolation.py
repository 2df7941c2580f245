"""Context managers that undo the side effects of a library: logging, random states, replaced attributes."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from types import ModuleType


@contextlib.contextmanager
def contained_logging(quiet: str = "", level: int = logging.ERROR) -> Iterator[None]:
    """Restore the root logger's level and handlers afterwards; silence the logger `quiet` below `level` meanwhile.

    Examples
    --------
    >>> before = logging.getLogger().level
    >>> with contained_logging():
    ...     logging.getLogger().setLevel(logging.DEBUG)
    >>> logging.getLogger().level == before
    True
    """
    root, quieted = logging.getLogger(), logging.getLogger(quiet)
    before, handlers, own = root.level, list(root.handlers), quieted.level
    quieted.setLevel(level)
    try:
        yield
    finally:
        quieted.setLevel(own)
        root.setLevel(before)
        root.handlers[:] = handlers


@contextlib.contextmanager
def contained_seeds() -> Iterator[None]:
    """Restore the global random states of Python, NumPy and PyTorch afterwards."""
    import random

    import numpy as np
    import torch

    states = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng():
            yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


@contextlib.contextmanager
def replaced(module: ModuleType, name: str, value: object) -> Iterator[None]:
    """Replace an attribute of a module for the duration of the context."""
    original = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, original)
