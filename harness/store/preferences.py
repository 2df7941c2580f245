"""Training records of a data folder, and the responses in it as one table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.jsonl import read_jsonl

if TYPE_CHECKING:
    import pandas as pd

PREFERENCES = ("pairs.jsonl", "examples.jsonl", "groups.jsonl")
"""File names of training records, by their kind."""


def preferences(folder: Path) -> Path:
    """The training records of a data folder."""
    return next(folder / name for name in PREFERENCES if (folder / name).exists())


def response_table(folder: Path) -> pd.DataFrame:
    """The responses of a folder's pairs, or of its samples: ``id, response, prompt, text, scores``, prompt by prompt.

    `text` is None where a policy gave no complete response. `scores` are what the data set says of a response, by name.
    """
    import pandas as pd

    rows: list[tuple[object, ...]]
    if (folder / "samples.jsonl").exists():
        rows = [
            (row["id"], f"sample_{k}", row["prompt"], text, {})
            for row in read_jsonl(folder / "samples.jsonl")
            for k, text in enumerate(row["responses"])
        ]
    else:
        rows = [
            (row["id"], side, row["prompt"], row[side], {name: both[k] for name, both in row.get("scores", {}).items()})
            for row in read_jsonl(folder / "pairs.jsonl")
            for k, side in enumerate(("chosen", "rejected"))
        ]
    return pd.DataFrame(rows, columns=["id", "response", "prompt", "text", "scores"], dtype=object)
