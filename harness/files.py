"""Small readers and writers of the files that pass between stages."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path


def write_jsonl(path: Path, rows: Iterable[dict]) -> None:
    """One JSON object per line, UTF-8."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def read_jsonl(path: Path) -> list[dict]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_scores(out: Path, items: Iterable = (), measures: Iterable = ()) -> None:
    """A suite's rows as the two tables every score artifact has."""
    from harness.records import ItemScore, Measure, to_frame

    to_frame(list(items), ItemScore).to_parquet(out / "items.parquet", index=False)
    to_frame(list(measures), Measure).to_parquet(out / "measures.parquet", index=False)


def read_generations(folder: Path) -> list:
    """The rows of ``generations.parquet`` as `harness.records.Generation`."""
    import pandas as pd

    from harness.records import Generation, Status

    rows = pd.read_parquet(folder / "generations.parquet").to_dict("records")
    return [Generation(**{**row, "status": Status(row["status"])}) for row in rows]


def write_result(out: Path, result) -> None:
    """What training reported (`trainers` results are data classes) beside the checkpoint."""
    from dataclasses import asdict

    row = {name: value for name, value in asdict(result).items() if name != "checkpoint"}
    (out / "result.json").write_text(json.dumps(row))


def oracle_world(folder: Path):
    """The oracle world whose data sets lie in `folder`."""
    from suites.oracle.world import World, WorldSpec

    return World.build(WorldSpec(**json.loads((folder / "world.json").read_text())))
