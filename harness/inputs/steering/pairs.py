"""Pairs of users as training records: those of the seen users, and the contexts of unseen ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from harness.inputs.steering.scene import Contexts
from harness.store.jsonl import read_jsonl
from trainers.data.records import Pair


def seen_pairs(folder: Path) -> tuple[list[Pair], np.ndarray]:
    """Pairs of the seen users of a data folder, and the user of each as a number from 0 on, shape (N,)."""
    rows = list(read_jsonl(folder / "pairs.jsonl"))
    numbers = {user: number for number, user in enumerate(dict.fromkeys(row["user"] for row in rows))}
    return records(rows), np.array([numbers[row["user"]] for row in rows], np.int64)


def context_pairs(contexts: Contexts) -> tuple[list[Pair], np.ndarray]:
    """Pairs of all contexts, and the position of each one's user in `contexts`, shape (N,)."""
    rows = [row for pairs in contexts.values() for row in pairs]
    return records(rows), np.repeat(np.arange(len(contexts)), [len(pairs) for pairs in contexts.values()])


def records(rows: Iterable[Mapping[str, Any]]) -> list[Pair]:
    """Rows with ``id, prompt, chosen, rejected`` as records."""
    return [Pair(row["id"], row["prompt"], row["chosen"], row["rejected"]) for row in rows]
