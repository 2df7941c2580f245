"""Recognition of the form of a data set by the columns of its first rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from trainers.data.fields import Fields
from trainers.data.forms.form import Form, create, forms, note_of, terms_of, title_of
from trainers.data.rows import DataError, Located

LOOKED_AT = 100
"""Rows by which a form is recognised, at most."""
HINT = "name the columns that hold them, as in columns: {prompt: instruction, chosen: preferred, rejected: other}"


@dataclass(frozen=True)
class Recognised:
    """The form of a data set.

    Parameters
    ----------
    name : str
        Of the form.
    title : str
        The form in words.
    why : str
        What it was recognised by; empty where the experiment names the form.
    note : str
        What the form keeps besides pairs, and what it leaves out.
    terms : str
        Licence and terms of the data set that the form belongs to; empty where many have it.
    """

    name: str
    title: str
    why: str = ""
    note: str = ""
    terms: str = ""

    def __str__(self) -> str:
        return f"{self.title} ({self.why or 'as named'}){f'; {self.note}' if self.note else ''}"


def named(name: str) -> Recognised:
    """A form that is named, and not recognised."""
    return _described(name, create(name), "")


def recognise(rows: Iterable[Located], source: str = "the data") -> Recognised:
    """The form of most of the rows; of several forms that a row fits, the one with the most columns.

    Raises
    ------
    DataError
        With the columns of the first row, where no form fits any row.

    Examples
    --------
    >>> print(recognise([("f:1", {"prompt": "Why?", "chosen": "So.", "rejected": "No."})]))
    TRL's pairs: two responses and their prompt, each a text or a list of messages (columns prompt, chosen, rejected of text)
    """
    reasons: dict[str, str] = {}
    votes: Counter[str] = Counter()
    first: tuple[str, Mapping[str, object]] | None = None
    for where, row in rows:
        if not isinstance(row, Mapping):
            continue
        first = first or (where, row)
        if (fitting := _fitting(Fields(row))) is not None:
            name, why = fitting
            votes[name] += 1
            reasons.setdefault(name, why)
    if votes:
        best = votes.most_common(1)[0][0]
        return _described(best, create(best), reasons[best])
    if first is None:
        raise DataError(source, "no usable row", "it is empty, or its rows are no objects")
    where, row = first
    if {"chosen", "rejected"} <= row.keys():  # the form reads why its values are of no use
        return _described("pairs", create("pairs"), "columns chosen, rejected")
    columns = ", ".join(map(str, row)) or "none"
    raise DataError(where, "no known form of preference data", f"its columns are {columns}; {HINT}")


def _described(name: str, form: Form, why: str) -> Recognised:
    return Recognised(name, title_of(form), why, note_of(form), terms_of(form))


def _fitting(row: Fields) -> tuple[str, str] | None:
    """The form with the most columns that a row fits, and why."""
    for name, form in sorted(forms().items(), key=lambda item: -len(item[1].columns)):
        if form.columns <= row.values.keys() and (why := _why(form, row)):
            return name, why
    return None


def _why(form: type[Form], row: Fields) -> str | None:
    if hasattr(form, "fits"):
        why: str | None = form.fits(row)
        return why
    return f"columns {', '.join(sorted(form.columns))}" if form.columns else None


def known_columns() -> list[str]:
    """Every column that a form is recognised by or reads from its examples."""
    names = {"prompt", "chosen", "rejected", "id"}
    for form in forms().values():
        names |= form.columns | {str(column) for row in form.examples for column in row}
    return sorted(names)
