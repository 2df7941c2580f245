"""Tables as data: columns, rows, values and their text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reports.statistics.estimates import Estimate
from reports.text import duration, number, p_text, percent, with_interval


@dataclass(frozen=True)
class Shown:
    """A number with a text form of its own; tables are sorted by the number."""

    value: float
    text: str


Value = str | int | float | Estimate | Shown | None


@dataclass(frozen=True)
class Column:
    """A column's heading. With `glyph`, HTML draws a small interval beside each estimate; `hint` explains the heading."""

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
    """A titled table with a note under it. `marks` of a row are its columns that could be the best."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def share(value: float | None) -> Shown | None:
    """A probability as a percentage.

    Examples
    --------
    >>> share(0.5), share(None)
    (Shown(value=0.5, text='50 %'), None)
    """
    return None if value is None else Shown(value, percent(value))


def time(seconds: float) -> Shown:
    """A duration, written in its usual unit and sorted in seconds.

    Examples
    --------
    >>> time(200.0)
    Shown(value=200.0, text='3.3 min')
    """
    return Shown(seconds, duration(seconds))


def p_value(p: float | None) -> Shown | None:
    """A p-value; None where there is none.

    Examples
    --------
    >>> p_value(0.0344)
    Shown(value=0.0344, text='p = 0.034')
    """
    return None if p is None else Shown(p, p_text(p))


def count_of(count: int, total: int) -> Shown:
    """A count out of a total, sorted by the count.

    Examples
    --------
    >>> count_of(3, 4).text
    '3 of 4'
    """
    return Shown(count, f"{count} of {total}")


def show(value: Value) -> str:
    """A value as text.

    Examples
    --------
    >>> show(0.25), show(None), show("UPO"), show(12), show(share(0.999))
    ('0.250', '–', 'UPO', '12', '> 99 %')
    """
    match value:
        case Estimate():
            return with_interval(value)
        case Shown():
            return value.text
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return number(value)


def sort_key(value: Value) -> str:
    """The number that a table is sorted by, in full; empty for text and for what is missing.

    Examples
    --------
    >>> sort_key(share(0.25)), sort_key(12), sort_key("UPO"), sort_key(None)
    ('0.25', '12', '', '')
    """
    match value:
        case Estimate() | Shown():
            return repr(float(value.value))
        case int() | float() if not math.isnan(value):
            return repr(value)
        case _:
            return ""
