"""Promises after a kill: nothing lost, nothing done twice, nothing paid twice, the same records."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from harness.records import TABLES, Records

CLOCK = ["train_seconds", "evaluate_seconds"]
"""Columns that no two runs share."""


def tables(run: Path) -> dict[str, pd.DataFrame]:
    """The records of a run without what its clock measured."""
    records = Records.read(run / "records")
    read = {name: getattr(records, name) for name in TABLES}
    timed = read["curves"].metric.str.contains("per_second")
    return read | {"cells": read["cells"].drop(columns=CLOCK), "curves": read["curves"][~timed].reset_index(drop=True)}


def finished(store: Path) -> dict[str, int]:
    """Finished artifacts by key, each with the time at which it was written."""
    return {folder.name: (folder / "manifest.json").stat().st_mtime_ns for folder in (store / "artifacts").glob("*")}


def answers(store: Path) -> int:
    """Answers of the paid judge that are stored."""
    count = 0
    for ledger in (store / "caches" / "judgements").glob("*.sqlite"):
        with closing(sqlite3.connect(ledger)) as connection:
            try:
                count += connection.execute("SELECT COUNT(*) FROM answers").fetchone()[0]
            except sqlite3.OperationalError:  # killed before its tables were made
                continue
    return count


@dataclass(frozen=True)
class Found:
    """What the checks found after one kill."""

    lost_rows: int
    redone_stages: int
    paid_twice: int
    differing_tables: int

    @property
    def wrong(self) -> bool:
        """Whether a promise was broken."""
        return any(vars(self).values())


def compare(now: dict[str, pd.DataFrame], whole: dict[str, pd.DataFrame]) -> tuple[int, int]:
    """Rows that `now` lacks, and tables that are not equal to those of the uninterrupted run."""
    lost = sum(max(len(table) - len(now[name]), 0) for name, table in whole.items())
    return lost, sum(not table.equals(now[name]) for name, table in whole.items())
