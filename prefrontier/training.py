"""Training from Python values: tables and rows become the files that the trainer reads."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import nearest
from trainers.align import align
from trainers.config import Progress, TrainConfig, TrainResult
from trainers.data.rows import DataError
from trainers.methods import create

if TYPE_CHECKING:
    import pandas as pd


def run(
    method: str,
    data: str | Path | pd.DataFrame | Iterable[Mapping[str, Any]],
    base: str | Path,
    out: str | Path,
    parameters: Mapping[str, Any],
    training: Mapping[str, Any],
    references: Sequence[str | Path],
    rewards: str | Path | pd.DataFrame | None,
    objective_weights: Mapping[str, float] | None,
    progress: Callable[[Progress], None] | None,
) -> TrainResult:
    """`prefrontier.train` with its defaults filled in."""
    settings = {field.name for field in fields(TrainConfig)}
    for name in training:
        if name not in settings:
            raise ValueError(f"unknown training setting {name!r}{nearest(name, settings)}")
    policy, config = create(method, **parameters), TrainConfig(**training)
    with tempfile.TemporaryDirectory(prefix="prefrontier-") as folder:
        source = data if isinstance(data, str | Path) else _rows_file(data, Path(folder) / "data.jsonl")
        table = rewards if rewards is None or isinstance(rewards, str | Path) else _table_file(rewards, folder)
        try:
            return align(
                policy, base, source, config, out,
                references=references, rewards=table, objective_weights=objective_weights, progress=progress,
            )  # fmt: skip
        except DataError as error:
            if source is data:
                raise
            raise DataError(error.where.replace(f"{source}:", "row "), error.why, error.detail) from None


def _rows_file(data: pd.DataFrame | Iterable[Mapping[str, Any]], file: Path) -> Path:
    """Rows as JSON lines, so that they pass the checks of a file; line n is row n and NaN a missing value."""
    import pandas as pd

    rows = data.to_dict("records") if isinstance(data, pd.DataFrame) else data
    with file.open("w", encoding="utf-8") as lines:
        for number, row in enumerate(rows, start=1):
            try:
                lines.write(json.dumps(dict(row), ensure_ascii=False) + "\n")
            except (TypeError, ValueError) as error:
                raise ValueError(f"row {number}: not a mapping of JSON values: {error}") from None
    return file


def _table_file(table: pd.DataFrame, folder: str) -> Path:
    file = Path(folder) / "rewards.parquet"
    table.to_parquet(file, index=False)
    return file
