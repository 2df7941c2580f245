"""Shared parts of the sections of the trainer's benchmark: amount of work and form of a result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tests.performance.workload import MODEL

LEAN = 2048
"""Tokens per micro-batch of our side."""


@dataclass(frozen=True)
class Scale:
    """How much of everything is run."""

    steps: int
    turn: int
    repetitions: int
    growth: tuple[int, ...]
    longest: int


FULL = Scale(steps=20, turn=4, repetitions=30, growth=(1, 2, 4, 8, 16), longest=MODEL.context)
QUICK = Scale(steps=4, turn=2, repetitions=2, growth=(1, 2), longest=160)


@dataclass(frozen=True)
class Table:
    """A title, and rows of named cells; prints as Markdown."""

    title: str
    rows: list[dict[str, object]]

    def __str__(self) -> str:
        names = list(self.rows[0])
        lines = [names, ["---"] * len(names), *([_text(row[name]) for name in names] for row in self.rows)]
        return f"\n**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def spread(values: Sequence[float]) -> str:
    """Median and range.

    Examples
    --------
    >>> spread([7.0, 8.0, 6.5])
    '7.00 (6.50–8.00)'
    """
    return f"{np.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"
