"""Scores of texts as a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd

from harness.records import Generation, to_frame
from suites.style.lexical import style


def score_texts(
    texts: Mapping[str, str] | Iterable[str], toxicity: str | Path | None = None, device: str = "cpu"
) -> pd.DataFrame:
    """`prefrontier.score` with its defaults filled in."""
    if isinstance(texts, str):
        raise TypeError("texts must be a sequence or a mapping of strings, not one string")
    items = (
        texts.items() if isinstance(texts, Mapping | pd.Series) else ((str(i), text) for i, text in enumerate(texts))
    )
    generations = []
    for item, text in items:
        if not isinstance(text, str):
            raise TypeError(f"item {item!r}: a text must be a string, not {text!r}")
        generations.append(Generation(str(item), str(item), "", text, 0))
    scores = list(style(generations)[0])
    if toxicity is not None:
        from suites.toxicity.scorer import ToxicityScorer
        from suites.toxicity.scorer import toxicity as toxicity_scores

        scores += toxicity_scores(generations, ToxicityScorer(toxicity, device=device))
    columns = ["objective", "item", "value", "status"]
    return to_frame(scores)[columns] if scores else pd.DataFrame(columns=columns)
