"""Typed access to the fields of a row: known spellings are converted, everything else is refused with its field.

A row comes from JSON, Parquet or the hub, so any field may hold any value. None and NaN are a missing value. A number
may be written as a string, as CSV exports write it. The content of a message may be a list of text parts. No other
value is converted: `str`, indexing or a default would turn it into training text that nobody wrote.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from trainers.tokens.dialogue import Message, Text

FLAGS = {"true": True, "1": True, "false": False, "0": False}
NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", re.ASCII)


class Unusable(Exception):
    """A row that cannot be used.

    Parameters
    ----------
    why : str
        The reason, one of a small set, so that dropped rows can be counted by it.
    detail : str
        The value that was found.
    """

    def __init__(self, why: str, detail: str = "") -> None:
        super().__init__(why, detail)
        self.why, self.detail = why, detail


class LeftOut(Exception):
    """A correct row that the form does not take, such as a reply in another language."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def describe(value: object) -> str:
    """A value in a message: its type, and the beginning of what it holds.

    Examples
    --------
    >>> describe("1"), describe(b"ab"), describe([3])
    ("text: '1'", "bytes: b'ab'", 'a list: [3]')
    """
    names: dict[type, str] = {
        str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object",
        type(None): "nothing",
    }  # fmt: skip
    name = names.get(type(value), type(value).__name__)
    return f"{name}: {ascii(value)[:60]}"


def is_missing(value: object) -> bool:
    """Whether a field holds no value: None, or NaN as data frames write it.

    Examples
    --------
    >>> is_missing(None), is_missing(float("nan")), is_missing("")
    (True, True, False)
    """
    if isinstance(value, Decimal):
        return value.is_nan()
    return value is None or (isinstance(value, float) and math.isnan(value))


@dataclass(frozen=True)
class Fields:
    """One row, whose fields are read by the type that they should have.

    Every method raises `Unusable`, naming the field and the value found, for a field that is missing or of another
    type.

    Examples
    --------
    >>> row = Fields.of({"score": "20", "label": True, "text": " So."})
    >>> row.number("score"), row.flag("label"), row.text("text")
    (20.0, True, ' So.')
    >>> row.text("score")
    '20'
    >>> row.number("label")
    Traceback (most recent call last):
    trainers.data.fields.Unusable: ("'label' is not a number", 'true or false: True')
    """

    values: Mapping[str, object]

    @classmethod
    def of(cls, row: object) -> Fields:
        """The fields of a row that should be a JSON object."""
        if not isinstance(row, Mapping):
            raise Unusable("not a JSON object", describe(row))
        return cls(row)

    def __contains__(self, name: str) -> bool:
        return not is_missing(self.values.get(name))

    def _require(self, name: str, *others: str) -> object:
        """The value of the first of the named fields that is there."""
        present = next((field for field in (name, *others) if field in self), None)
        if present is None:
            columns = ", ".join(sorted(map(str, self.values)))
            raise Unusable(f"no {name!r}", f"the row has {columns or 'no field'}")
        return self.values[present]

    def text(self, name: str, *others: str, empty: bool = False) -> str:
        """The text of a field, or of the first of several names of it.

        Parameters
        ----------
        name, *others : str
        empty : bool
            Whether a text without any character but white space is accepted.
        """
        value = self._require(name, *others)
        if not isinstance(value, str):
            raise Unusable(f"{name!r} is not text", describe(value))
        return _checked(value, name, empty)

    def text_or_messages(self, name: str, *others: str) -> Text:
        """The text of a field, or its list of messages."""
        value = self._require(name, *others)
        if isinstance(value, str):
            return _checked(value, name)
        if _looks_like_messages(value):
            return self.messages(name, *others)
        raise Unusable(f"{name!r} is neither text nor a list of messages", describe(value))

    def messages(self, name: str, *others: str) -> list[Message]:
        """A list of messages, each with the text of its content; text parts are joined."""
        value = self._require(name, *others)
        if not isinstance(value, list) or not _looks_like_messages(value):
            raise Unusable(f"{name!r} is not a list of messages", describe(value))
        if not value:
            raise Unusable(f"empty {name!r}")
        return [_message(turn, name) for turn in value]

    def list(self, name: str) -> Sequence[object]:
        """A list of any values."""
        value = self._require(name)
        if not isinstance(value, list):
            raise Unusable(f"{name!r} is not a list", describe(value))
        return value

    def record(self, name: str) -> Fields:
        """The fields of an object."""
        value = self._require(name)
        if not isinstance(value, Mapping):
            raise Unusable(f"{name!r} is not an object", describe(value))
        return Fields(value)

    def records(self, name: str) -> Sequence[Fields]:
        """The fields of every object of a list."""
        rows = self.list(name)
        if odd := [row for row in rows if not isinstance(row, Mapping)]:
            raise Unusable(f"{name!r} holds something that is not an object", describe(odd[0]))
        return [Fields(row) for row in rows if isinstance(row, Mapping)]

    def identifier(self, name: str) -> str:
        """A text or whole number that names something, as text."""
        value = self._require(name)
        if isinstance(value, str):
            return _checked(value, name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if isinstance(value, float) and value.is_integer():
            return str(int(value))  # a column of whole numbers in which one is missing
        raise Unusable(f"{name!r} is neither text nor a whole number", describe(value))

    def own_id(self) -> str | None:
        """The field ``id``, None where the row has none."""
        return self.identifier("id") if "id" in self else None

    def digest(self) -> str:
        """A hash of the whole row; equal rows have equal hashes."""
        content = json.dumps(self.values, sort_keys=True, ensure_ascii=False, default=repr)
        return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def number(self, name: str) -> float:
        """A finite number, also one that is written as text."""
        value = self._require(name)
        numeric = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        if numeric or (isinstance(value, str) and NUMBER.fullmatch(value)):
            try:
                number = float(value)  # type: ignore[arg-type]  # the line above leaves what float() reads
            except OverflowError:
                number = math.inf
            if math.isfinite(number):
                return number
        raise Unusable(f"{name!r} is not a number", describe(value))

    def whole(self, name: str) -> int:
        """A whole number, also one that is written as text."""
        number = self.number(name)
        if not number.is_integer():
            raise Unusable(f"{name!r} is not a whole number", describe(self.values[name]))
        return int(number)

    def flag(self, name: str) -> bool:
        """True or false, 1 or 0, also written as text."""
        value = self.values.get(name)
        if isinstance(value, bool):
            return value
        if isinstance(value, int | float) and value in (0, 1):
            return bool(value)
        if isinstance(value, str) and value.strip().lower() in FLAGS:
            return FLAGS[value.strip().lower()]
        raise Unusable(f"{name!r} is not true or false", describe(value))


def _checked(text: str, name: str, empty: bool = False) -> str:
    """The text, if it can be written as UTF-8 and says something."""
    try:
        text.encode()
    except UnicodeEncodeError as fault:
        raise Unusable(f"{name!r} is not text", f"half a surrogate pair at character {fault.start}") from None
    if not empty and not text.strip():
        raise Unusable(f"empty {name!r}")
    return text


def _looks_like_messages(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(turn, Mapping) and "content" in turn for turn in value)


def _message(turn: Mapping[str, Any], name: str) -> Message:
    role = turn.get("role")
    if not isinstance(role, str):
        raise Unusable(f"{name!r} holds a message without a role", describe(role))
    extra = {key: value for key, value in turn.items() if not is_missing(value)}
    return {**extra, "role": _checked(role, name), "content": _checked(_content(turn["content"], name), name)}


def _content(content: object, name: str) -> str:
    """The text of a message's content: text, or a list of text parts."""
    if isinstance(content, str):
        return content
    if is_missing(content):
        raise Unusable(f"empty {name!r}", "a message without content")
    parts = content if isinstance(content, list) else [content]
    texts = [part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None for part in parts]
    if not isinstance(content, list) or not all(isinstance(text, str) for text in texts):
        raise Unusable(f"{name!r} holds a message whose content is not text", describe(content))
    return "".join(text for text in texts if text is not None)
