"""Rows of a file of results: JSON, JSON lines, CSV or Parquet, compressed or not, each with where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.inputs.prompt_sets import SUFFIXES, file_rows
from trainers.data.fields import Unusable
from trainers.data.rows import DataError, csv_rows

CSV = (".csv", ".csv.gz")


def rows(path: Path) -> Iterator[tuple[str, object]]:
    """The rows of a file, each with where it is.

    Raises
    ------
    UsageError
        Naming the file, for one that is missing, damaged or of an unknown kind.
    """
    if not path.is_file():
        raise UsageError(f"{path}: no such file")
    if not path.name.endswith((*SUFFIXES, *CSV)):
        raise UsageError(f"{path}: unknown kind of file; {', '.join((*SUFFIXES, *CSV))} are read")
    yield from _csv_rows(path) if path.name.endswith(CSV) else file_rows(path)


def _csv_rows(path: Path) -> Iterator[tuple[str, object]]:
    try:
        for where, row in csv_rows(path):
            if isinstance(row, Unusable):
                raise UsageError(f"{where}: {row.why}")
            yield where, row
    except (OSError, DataError) as error:
        raise UsageError(f"{path}: not readable ({error})" if isinstance(error, OSError) else str(error)) from None
