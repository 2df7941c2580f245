"""Item rows of generations: the one rule from a value and a generation's status to a row."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from harness.records import Generation, ItemScore, Objective, Status

_WITHOUT_VALUE = (Status.ERROR, Status.UNPARSABLE, Status.SKIPPED)


def is_empty(generation: Generation) -> bool:
    """Whether there is nothing to score: no text, or white space only."""
    return generation.status not in _WITHOUT_VALUE and not generation.response.strip()


def is_scorable(generation: Generation) -> bool:
    """Whether there is a text to score."""
    return generation.status not in _WITHOUT_VALUE and not is_empty(generation)


def within_bounds(value: float | None, bounds: Sequence[float], clip: bool = False) -> tuple[float | None, str]:
    """A value that lies within its bounds, or None and why there is none; with `clip` the nearest bound.

    Examples
    --------
    >>> within_bounds(12.0, (0.0, 10.0)), within_bounds(12.0, (0.0, 10.0), clip=True)
    ((None, '12 is outside the bounds [0, 10]'), (10.0, ''))
    """
    if value is None or not math.isfinite(value):
        return None, "no finite number"
    low, high = bounds
    if low <= value <= high:
        return value, ""
    return (min(max(value, low), high), "") if clip else (None, f"{value:g} is outside the bounds [{low:g}, {high:g}]")


def item_score(
    objective: Objective,
    generation: Generation,
    value: float | None,
    status: Status = Status.UNPARSABLE,
    detail: dict[str, Any] | None = None,
) -> ItemScore:
    """The row of one generation.

    A generation that failed has no value; an empty one has the objective's worst value (0 where that is
    infinite); a scored one keeps its own status (``ok`` or ``truncated``); one that could not be scored
    (`value` None) has `status`.

    Examples
    --------
    >>> toxicity = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))
    >>> silent = Generation("p0#0", "p0", "Hello", " ", 1)
    >>> row = item_score(toxicity, silent, 0.0)
    >>> row.value, row.status.value
    (1.0, 'empty')
    """
    if generation.status in _WITHOUT_VALUE:
        value, status = None, generation.status
    elif is_empty(generation):
        value, status = (objective.worst if math.isfinite(objective.worst) else 0.0), Status.EMPTY
    elif value is not None:
        status = generation.status
    of = generation
    return ItemScore(objective.name, of.item, of.cluster, value, status, of.trial, of.cell, detail or {})
