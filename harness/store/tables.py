"""Parquet tables of evaluation artifacts: item scores, measures and generations."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from harness.records import Generation, ItemScore, Measure, Status, to_frame


def write_scores(out: Path, items: Iterable[ItemScore] = (), measures: Iterable[Measure] = ()) -> None:
    """Write a suite's rows as the two tables that every score artifact has."""
    to_frame(list(items), ItemScore).to_parquet(out / "items.parquet", index=False)
    to_frame(list(measures), Measure).to_parquet(out / "measures.parquet", index=False)


def write_generations(out: Path, generations: Iterable[Generation]) -> None:
    """Write ``generations.parquet``."""
    to_frame(list(generations), Generation).to_parquet(out / "generations.parquet", index=False)


def read_generations(folder: Path) -> list[Generation]:
    """Read the rows of ``generations.parquet``."""
    import pandas as pd

    rows = pd.read_parquet(folder / "generations.parquet").to_dict("records")
    return [Generation(**{**row, "status": Status(row["status"])}) for row in rows]
