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
    policy = create(method, **parameters)
    with tempfile.TemporaryDirectory(prefix="prefrontier-") as folder:
        return align(
            policy,
            base,
            data if isinstance(data, str | Path) else _rows_file(data, Path(folder) / "data.jsonl"),
            TrainConfig(**training),
            out,
            references=references,
            rewards=rewards if rewards is None or isinstance(rewards, str | Path) else _table_file(rewards, folder),
            objective_weights=objective_weights,
            progress=progress,
        )


def _rows_file(data: pd.DataFrame | Iterable[Mapping[str, Any]], file: Path) -> Path:
    """Rows as JSON lines, so that they pass the same checks as a file of the user's own; line n is row n."""
    import pandas as pd

    rows = data.to_dict("records") if isinstance(data, pd.DataFrame) else data
    with file.open("w", encoding="utf-8") as lines:
        for number, row in enumerate(rows, start=1):
            try:
                lines.write(json.dumps(dict(row), ensure_ascii=False, allow_nan=False) + "\n")
            except (TypeError, ValueError) as error:
                raise ValueError(f"row {number}: not a mapping of JSON values: {error}") from None
    return file


def _table_file(table: pd.DataFrame, folder: str) -> Path:
    file = Path(folder) / "rewards.parquet"
    table.to_parquet(file, index=False)
    return file
