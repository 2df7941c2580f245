"""Rows of JSON Lines, JSON, CSV, Parquet and hub data sets, each with where it was found."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from trainers.data.fields import Unusable

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""UTF-8's, which Windows editors and Excel put in front of a file."""

CSV_DELIMITERS = ",;\t"
"""Delimiters of a table, by which its header is split; spreadsheets of many countries write semicolons."""
PYTHON_MESSAGES = re.compile(r"\[\{'(role|content)': .*\}\]\s*", re.DOTALL)
"""A list of messages as Python prints it, which pandas writes into a cell."""

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


def read_rows(
    source: str | Path, split: str = "train", subset: str | None = None, revision: str | None = None
) -> Iterator[Located]:
    """The rows of a file or of a data set on the hub.

    Parameters
    ----------
    source : path or str
        A file of one of the kinds `READERS`, also compressed (``.gz``), or the id of a data set on the hub.
    split, subset, revision : str
        The split of a hub data set, its configuration and its commit.

    Raises
    ------
    DataError
        If there is no such source, its kind is unknown or the file is damaged. A line that is not UTF-8 or not JSON
        is no error here: an `Unusable` takes its place.
    """
    path = Path(source)
    if path.is_file():
        ending = next((ending for ending in READERS if path.name.endswith((ending, f"{ending}.gz"))), None)
        if ending is None or (ending == ".parquet" and path.suffix == ".gz"):
            raise DataError(str(path), f"unknown kind of file; {', '.join(READERS)} are read")
        yield from READERS[ending](path)
    elif is_hub_id(source):
        yield from hub_rows(str(source), split, subset, revision)
    else:
        raise DataError(str(source), "a folder; name one of its files" if path.is_dir() else "no such file")


def is_hub_id(source: str | Path) -> bool:
    """Whether a name can be the id of a data set on the hub: OWNER/NAME, and no path.

    Examples
    --------
    >>> is_hub_id("Anthropic/hh-rlhf"), is_hub_id("pairs/a.jsonl"), is_hub_id("./pairs")
    (True, False, False)
    """
    name = str(source)
    return name.count("/") == 1 and not Path(name).suffix and not name.startswith((".", "/", "~"))


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
    """The entries of a file that holds one JSON array, or its one value, or a value on every line as JSON lines do."""
    with _open(path) as file:
        try:
            value = _decoded(file.read().removeprefix(BYTE_ORDER_MARK))
        except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
            raise DataError(str(path), "damaged gzip file", str(fault)) from None
    if isinstance(value, Unusable):
        if not value.detail.startswith("Extra data"):
            raise DataError(str(path), value.why, value.detail)
        yield from json_lines(path)
        return
    for number, row in enumerate(value if isinstance(value, list) else [value], start=1):
        yield f"{path}:{number}", row


def csv_rows(path: Path) -> Iterator[Located]:
    """The rows of a table under a header; an empty cell is a missing value, as pandas and spreadsheets write it.

    A cell that holds messages as JSON becomes these messages.
    """
    try:
        with _open(path) as file:
            text = file.read().decode("utf-8-sig")
    except (EOFError, zlib.error, gzip.BadGzipFile) as fault:
        raise DataError(str(path), "damaged gzip file", str(fault)) from None
    except UnicodeDecodeError as fault:
        raise DataError(str(path), "not UTF-8", f"byte {fault.start} of the file") from None
    header = text.partition("\n")[0]
    delimiter = max(CSV_DELIMITERS, key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        if len(set(rows.fieldnames or ())) != len(rows.fieldnames or ()):
            raise DataError(str(path), "two columns of one name", ", ".join(rows.fieldnames or ()))
        for row in rows:
            yield f"{path}:{rows.line_num}", _cells(row)
    except csv.Error as fault:
        raise DataError(f"{path}:{rows.line_num + 1}", "not CSV", str(fault)) from None


def _cells(row: dict[str | None, Any]) -> dict[str, object] | Unusable:
    if None in row or None in row.values():
        return Unusable("its cells are not those of the header")
    odd = next((name for name, cell in row.items() if PYTHON_MESSAGES.fullmatch(cell)), None)
    if odd is not None:
        return Unusable("messages in Python's notation, which is not JSON", f"{odd!r}: {row[odd][:40]!r}")
    return {str(name): _cell(cell) for name, cell in row.items()}


def _cell(cell: str) -> object:
    if cell.startswith("[{"):
        try:
            value = json.loads(cell)
        except ValueError:
            return cell
        if isinstance(value, list) and all(
            isinstance(turn, dict) and {"role", "content"} <= turn.keys() for turn in value
        ):
            return value
    return cell or None


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


def hub_rows(name: str, split: str, subset: str | None = None, revision: str | None = None) -> Iterator[Located]:
    """The rows of a data set on the hub."""
    import datasets

    how = {key: value for key, value in (("name", subset), ("revision", revision)) if value is not None}
    try:
        rows = datasets.load_dataset(name, split=split, **how)
    except Exception as fault:  # the hub's client raises many types; the user needs the same one line for all
        raise DataError(name, "neither a file nor a data set that can be loaded from the hub", str(fault)) from fault
    for number, row in enumerate(rows):
        yield f"{name}[{split}]:{number}", row


READERS: dict[str, Callable[[Path], Iterator[Located]]] = {
    ".jsonl": json_lines, ".json": json_array, ".csv": csv_rows, ".tsv": csv_rows, ".parquet": parquet_rows,
}  # fmt: skip
"""How the rows of a file are read, by the ending of its name."""
