"""Designer objectives of texts that are not generations: dataset responses, enumerated responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def designer_values(name: str, texts: Sequence[str], toxicity: Path | str | None) -> list[float | None]:
    """The objective `name` of each text in its own unit; None where it cannot be measured.

    Equal texts are measured once. `toxicity` is the scorer's checkpoint or hub name.
    """
    distinct = list(dict.fromkeys(texts))
    values = dict(zip(distinct, _SCORERS[name](distinct, toxicity), strict=True))
    return [values[text] for text in texts]


def _toxicity(texts: list[str], source: Path | str) -> list[float]:
    from suites.toxicity import ToxicityScorer

    return [score.maximum for score in ToxicityScorer(source).score(texts)]


def _readability(texts: list[str], _) -> list[float | None]:
    from suites.readability import readability

    return [readability(text) for text in texts]


_SCORERS: dict[str, Callable] = {"toxicity": _toxicity, "readability": _readability}
REWARDS = tuple(_SCORERS)
"""The objectives that can be designer rewards."""
