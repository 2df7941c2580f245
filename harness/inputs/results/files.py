"""Rows of a file of results: JSON, JSON lines, CSV or Parquet, compressed or not, each with where it is."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path

from harness.errors import UsageError
from harness.inputs.prompt_sets import SUFFIXES, file_rows

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
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig")
        for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), start=2):
            if None in row or None in row.values():
                raise UsageError(f"{path}:{number}: its fields are not those of the header")
            # An empty cell is a missing value, as pandas and spreadsheets write it.
            yield f"{path}:{number}", {name: value or None for name, value in row.items()}
    except (OSError, EOFError, zlib.error, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path}: not readable ({error})") from None
