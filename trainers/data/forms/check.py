"""The check that a form refuses or converts odd values, run before it is first used."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from trainers.data.fields import LeftOut, Unusable
from trainers.data.forms.form import Draft, Form, pairs_of
from trainers.registry import DeclarationError

ODD: dict[str, object] = {
    "null": None, "a number": 90210.5, "NaN": float("nan"), "true": True, "a list": ["zqx"], "an object": {"zqx": "zqx"},
    "half a surrogate pair": "zqx\ud83d", "bytes": b"zqx", "a date": datetime.datetime(2001, 9, 9), "no text": " ",
}  # fmt: skip
"""Values that a field may hold, by their names."""

TRACES = ("None", "90210", "nan", "True", "zqx", "2001", "datetime")
"""What one of these values would leave in a text that was made of it."""


def check_form(form: Form) -> None:
    """Put odd values into every field of a form's examples, also into those of objects and lists within.

    Raises
    ------
    DeclarationError
        Naming the form's module, if its examples give no pair, a text is made from a value that is no text, or another
        error than `Unusable` or `LeftOut` is raised.
    """
    name = f"{type(form).__module__}.{type(form).__name__}"
    right = _drafts(form, form.examples, name)
    if not right:
        raise DeclarationError(f"{name}: its examples give no pair")
    for number, row in enumerate(form.examples):
        for path, value in _fields(row):
            field = ".".join(map(str, path))
            for label, odd in ODD.items():
                _check_texts(_drafts(form, _changed(form, number, path, odd), name), f"{name}: {label} as {field!r}")
            if isinstance(value, int | float) and not isinstance(value, bool):
                drafts = _drafts(form, _changed(form, number, path, str(value)), name)
                if any(draft not in right for draft in drafts):
                    raise DeclarationError(f"{name}: {field!r} written as text gives other pairs than as a number")


Path = tuple[str | int, ...]
"""Keys and positions on the way to a value."""


def _fields(value: object, path: Path = ()) -> Iterator[tuple[Path, object]]:
    """Every value within a row, with the path to it."""
    if path:
        yield path, value
    inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        yield from _fields(part, (*path, key))


def _changed(form: Form, number: int, path: Path, odd: object) -> list[Any]:
    """The examples of a form with one value replaced."""
    rows: list[Any] = copy.deepcopy(list(form.examples))
    *way, last = number, *path
    holder: Any = rows
    for step in way:
        holder = holder[step]
    holder[last] = odd
    return rows


def _drafts(form: Form, rows: Any, name: str) -> list[Draft]:
    """The pairs that a form makes of some rows."""
    try:
        outcomes = [outcome for _, outcome in pairs_of(form, form, [(f"row {n}", row) for n, row in enumerate(rows)])]
    except Exception as fault:  # whatever a new form's code raises is the same mistake
        raise DeclarationError(f"{name}: {type(fault).__name__}: {fault}") from fault
    if not all(isinstance(outcome, Draft | LeftOut | Unusable) for outcome in outcomes):
        raise DeclarationError(f"{name}: what it gives is neither Draft, LeftOut nor Unusable")
    # A hash of the row tells 1 from "1", and its pair is the same.
    return [replace(outcome, digest="") for outcome in outcomes if isinstance(outcome, Draft)]


def _check_texts(drafts: list[Draft], what: str) -> None:
    for draft in drafts:
        sides = [draft.prompt, draft.chosen, draft.rejected]
        sides += [] if draft.base_response is None else [draft.base_response]
        texts = [turn["content"] for side in sides if isinstance(side, list) for turn in side]
        texts += [side for side in sides if not isinstance(side, list)]
        if any(not isinstance(text, str) or not text.strip() for text in texts):
            raise DeclarationError(f"{what} gives a pair without text")
        if trace := next((trace for trace in TRACES for text in texts if trace in text), None):
            raise DeclarationError(f"{what} becomes part of a text ({trace!r})")
