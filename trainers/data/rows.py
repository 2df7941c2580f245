"""Rows of JSON Lines, JSON, Parquet and hub data sets, each with where it was found."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trainers.data.fields import Unusable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""UTF-8's, which Windows editors and Excel put in front of a file."""

Located = tuple[str, object]
"""Where a row is, and the row; an `Unusable` in its place where the row cannot be decoded."""


class DataError(ValueError):
    """A file or row that cannot be used: where it is, and why.

    Parameters
    ----------
    where : str
        ``file:line`` and the row's id where it has one.
    why : str
        The reason, one of a small set, so that dropped rows can be counted by it.
    detail : str
        The value that was found.
    """

    def __init__(self, where: str, why: str, detail: str = "") -> None:
        super().__init__(f"{where}: {why}{': ' + detail if detail else ''}")
        self.where, self.why, self.detail = where, why, detail

    def __reduce__(self) -> tuple[type[DataError], tuple[str, str, str]]:
        """The arguments of the constructor, so that the error survives pickling between processes."""
        return type(self), (self.where, self.why, self.detail)


@dataclass(frozen=True)
class Unreadable:
    """A value of a Parquet column that has no Python equivalent, such as a date after the year 9999."""

    why: str


def read_rows(source: str | Path, split: str = "train") -> Iterator[Located]:
    """The rows of a file or of a data set on the hub.

    Parameters
    ----------
    source : path or str
        A ``.jsonl``, ``.jsonl.gz`` or ``.parquet`` file, or the id of a data set on the hub.
    split : str
        The split of a hub data set.

    Raises
    ------
    DataError
        If there is no such source, its kind is unknown or the file is damaged. A line that is not UTF-8 or not JSON
        is no error here: an `Unusable` takes its place.
    """
    path = Path(source)
    if path.is_file():
        if path.name.endswith((".jsonl", ".jsonl.gz")):
            yield from json_lines(path)
        elif path.suffix == ".parquet":
            yield from parquet_rows(path)
        else:
            raise DataError(str(path), "unknown kind of file; .jsonl, .jsonl.gz and .parquet are read")
    elif str(source).count("/") == 1 and not path.suffix and not str(source).startswith((".", "/", "~")):
        yield from hub_rows(str(source), split)
    else:
        raise DataError(str(source), "no such file")


def json_lines(path: Path) -> Iterator[Located]:
    """The JSON value of every line that is not empty; a byte order mark in front is skipped."""
    number = 0
    with _open(path) as lines:
        try:
            for number, line in enumerate(lines, start=1):
                text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
                if text.strip():
                    yield f"{path}:{number}", _decoded(text)
        except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
            raise DataError(f"{path}:{number + 1}", "damaged gzip file", str(fault)) from None


def json_array(path: Path) -> Iterator[Located]:
    """The entries of a file that holds one JSON array, or its one value."""
    with _open(path) as file:
        try:
            value = _decoded(file.read().removeprefix(BYTE_ORDER_MARK))
        except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
            raise DataError(str(path), "damaged gzip file", str(fault)) from None
    if isinstance(value, Unusable):
        raise DataError(str(path), value.why, value.detail)
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        yield f"{path}:{number}", row


def _open(path: Path) -> gzip.GzipFile | BinaryIO:
    return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")


def _decoded(line: bytes) -> object:
    try:
        return json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as fault:
        return Unusable("not UTF-8", f"byte {fault.start} of the line")
    except json.JSONDecodeError as fault:
        line_number = f"line {fault.lineno} " if fault.lineno > 1 else ""
        return Unusable("not JSON", f"{fault.msg} at {line_number}column {fault.colno}")
    except (RecursionError, ValueError) as fault:  # nested too deeply, or a number of thousands of digits
        return Unusable("not JSON", str(fault))


def parquet_rows(path: Path) -> Iterator[Located]:
    """The rows of a Parquet file; a value that Python cannot hold becomes `Unreadable` and harms no other column."""
    import pyarrow
    import pyarrow.parquet

    number = 0
    try:
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
            columns = {name: _values(batch.column(name)) for name in batch.schema.names}
            for values in zip(*columns.values(), strict=True):
                number += 1
                yield f"{path}:{number}", dict(zip(columns, values, strict=True))
    except (pyarrow.ArrowException, OSError) as fault:
        reason = next(iter(str(fault).splitlines()), "")
        raise DataError(str(path), "damaged Parquet file", reason) from None


def _values(column: Any) -> list[object]:
    """The values of an Arrow column as Python objects."""
    try:
        return list(column.to_pylist())
    except (ValueError, OverflowError, ArithmeticError, ImportError):
        return [_value(scalar) for scalar in column]


def _value(scalar: Any) -> object:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, ArithmeticError, ImportError) as fault:
        return Unreadable(str(fault))


def hub_rows(name: str, split: str) -> Iterator[Located]:
    """The rows of a data set on the hub."""
    import datasets

    try:
        rows = datasets.load_dataset(name, split=split)
    except Exception as fault:  # the hub's client raises many types; the user needs the same one line for all
        raise DataError(name, "neither a file nor a data set that can be loaded from the hub", str(fault)) from fault
    for number, row in enumerate(rows):
        yield f"{name}[{split}]:{number}", row
