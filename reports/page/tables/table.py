"""What a table is, and a value as text."""

from __future__ import annotations

from dataclasses import dataclass

from reports.statistics.estimates import Estimate
from reports.text import number, with_interval

Value = str | int | float | Estimate | None


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether a small drawing of the interval goes with it in HTML."""

    title: str
    numeric: bool = True
    glyph: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """Values in the order of the columns; `method`, `size` and `point` say what the row is about."""

    values: tuple[Value, ...]
    size: str = ""
    method: str = ""
    point: str = ""
    marks: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """A titled table with a note under it. `marks` of a row are its columns that are best or tied with the best."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def show(value: Value) -> str:
    """A value as text.

    Examples
    --------
    >>> show(0.25), show(None), show("UPO"), show(12)
    ('0.250', '–', 'UPO', '12')
    """
    match value:
        case Estimate():
            return with_interval(value)
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return number(value)
