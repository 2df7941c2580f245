"""Designer objectives of texts that are not generations: dataset responses, enumerated responses."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from harness.records import Generation, ItemScore, Status


def designer_values(
    name: str, texts: Sequence[str], toxicity: Path | str | None, device: str = "cpu"
) -> list[float | None]:
    """The objective `name` of each text in its own unit; None where it cannot be measured.

    Equal texts are measured once. `toxicity` is the scorer's checkpoint or hub name, and runs on `device`.
    """
    distinct = list(dict.fromkeys(texts))
    values = dict(zip(distinct, _SCORERS[name](distinct, toxicity, device), strict=True))
    return [values[text] for text in texts]


def _toxicity(texts: list[str], source: Path | str, device: str) -> list[float]:
    return [score.maximum for score in _toxicity_scorer(source, device).score(texts)]


@cache
def _toxicity_scorer(source: Path | str, device: str):
    from suites.toxicity.scorer import ToxicityScorer

    return ToxicityScorer(source, device=device)


def _readability(texts: list[str], *_) -> list[float | None]:
    from suites.style.readability import readability

    return [readability(text) for text in texts]


_SCORERS: dict[str, Callable] = {"toxicity": _toxicity, "readability": _readability}
REWARDS = tuple(_SCORERS)
"""The objectives that can be designer rewards."""


def fail_off_grammar(items: Iterable[ItemScore], generations: Iterable[Generation], world) -> list[ItemScore]:
    """The items, with the worst value for texts that are no answer of the oracle world.

    The closed forms count probability off the grammar as the worst value of every objective: a policy that
    babbles is not clean, and samples must say the same.
    """
    from suites.objectives import OBJECTIVES

    babble = {g.item for g in generations if world.parse(g.prompt, g.response) is None}
    failed = {name for name, objective in OBJECTIVES.items() if math.isfinite(objective.worst)}
    return [
        replace(item, value=OBJECTIVES[item.objective].worst, status=Status.UNPARSABLE)
        if item.item in babble and item.objective in failed and item.status is not Status.EMPTY
        else item
        for item in items
    ]
