"""Mutations of bytes, of nested values and of tables, drawn from a random generator."""

from __future__ import annotations

import copy
import random
from typing import Any

import pandas as pd

ODD: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3.0, 0.5, 2**63, 10**30, 1e308, -1e-308, float("nan"), float("inf"), "", " ", "1", "0.5", "true",
    "NaN", "None", "x" * 3000, "\x1b[2J\x1b]0;x\x07", "\u202eab\u2066", "\x00", "a\nb", "💥", "$x^{2$", "[red]x[/blue]", "=1+1",
    "<script>", "../../x", "/dev/null", "\ufeffx", [], {}, [[]], [None], [1, "a"], {"a": {"b": [0]}},
)  # fmt: skip
"""Values that a field may hold by mistake."""

TOKENS = (
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r\n", b"\n", b"\t", b'"', b"'", b",", b":", b"{", b"}", b"[", b"]", b"&a ", b"*a",
    b"!!binary ", b"<<: ", b"- ", b"---\n", b"NaN", b"1e999", b"null", b"\\ud800", b"\\u0000", b"9" * 400, b"\x1b[31m", b"%", b"#",
)  # fmt: skip
MOST = 64 * 1024
"""Bytes or characters of a mutated input, at most."""


def mutate_bytes(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """A few edits of a file's bytes; `other` is a file that a part may come from."""
    for _ in range(rng.choice((1, 1, 1, 2, 4, 8))):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.choice((1, 1, 2, 8, 64, 1024)))
        match rng.randrange(7):
            case 0:
                data = data[:start] + bytes(rng.randrange(256) for _ in range(end - start)) + data[end:]
            case 1:
                data = data[:start] + data[end:]
            case 2:
                data = data[:start] + data[start:end] * rng.choice((2, 2, 3, 50)) + data[end:]
            case 3:
                data = data[:start]
            case 4:
                cut = rng.randrange(len(other) + 1)
                data = data[:start] + other[cut : cut + rng.choice((4, 64, 1024))] + data[end:]
            case _:
                data = data[:start] + rng.choice(TOKENS) + data[rng.choice((start, end)) :]
    return data[:MOST]


def mutate_value(value: Any, rng: random.Random) -> Any:
    """A nested value with a few of its parts replaced, removed, renamed, repeated or moved."""
    holder = {"": copy.deepcopy(value)}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        parent, key = rng.choice(_places(holder))
        match rng.randrange(8):
            case 0 | 1 | 2:
                parent[key] = copy.deepcopy(rng.choice(ODD))
            case 3 if parent is not holder:
                del parent[key]
            case 4 if isinstance(parent, dict) and parent is not holder:
                parent[_edited(str(key), rng)] = parent.pop(key)
            case 5:
                parent[key] = copy.deepcopy(_at(rng.choice(_places(holder))))
            case 6:
                parent[key] = rng.choice(([parent[key]], {"a": parent[key]}, [parent[key]] * 2))
            case _:
                parent[key] = _changed(parent[key], rng)
    return holder[""]


def _places(holder: dict[str, Any]) -> list[tuple[Any, Any]]:
    """Every parent and key below the holder."""
    places: list[tuple[Any, Any]] = []
    waiting: list[Any] = [holder]
    while waiting and len(places) < 2000:
        parent = waiting.pop()
        for key in parent if isinstance(parent, dict) else range(len(parent)):
            places.append((parent, key))
            if isinstance(parent[key], dict | list):
                waiting.append(parent[key])
    return places


def _at(place: tuple[Any, Any]) -> Any:
    parent, key = place
    return parent[key]


def _changed(value: Any, rng: random.Random) -> Any:
    """A value of the same type."""
    if isinstance(value, bool) or value is None:
        return not value
    if isinstance(value, int | float):
        return rng.choice((-value, value + 1, value * 10**6, value / 3, str(value)))
    return _edited(value, rng) if isinstance(value, str) else copy.deepcopy(rng.choice(ODD))


def _edited(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    return rng.choice(
        (text[:place], text[place:], text + text, text[:place] + rng.choice("aZ0 .-_$[{'\"\n\x1b") + text[place:])
    )


def mutate_table(table: pd.DataFrame, rng: random.Random) -> pd.DataFrame:
    """A table with a column removed, renamed or of another type, with odd cells, or with other rows."""
    table = table.copy()
    for _ in range(rng.choice((1, 1, 2))):
        column = rng.choice(list(table.columns))
        match rng.randrange(8):
            case 0 if len(table.columns) > 1:
                table = table.drop(columns=column)
            case 1:
                table = table.rename(columns={column: _edited(column, rng) or "x"})
            case 2:
                table[column] = table[column].map(
                    rng.choice((str, repr, lambda value: None, lambda value: [str(value)], bool))
                )
            case 3 | 4 if len(table):
                cells = table[column].tolist()
                cells[rng.randrange(len(cells))] = rng.choice(ODD)
                table[column] = pd.Series(cells, index=table.index, dtype=object)
            case 5 if len(table):
                table[column] = pd.Series([rng.choice(ODD)] * len(table), index=table.index, dtype=object)
            case 6:
                table = pd.concat([table, table.head(rng.choice((1, 3, len(table))))], ignore_index=True)
            case _:
                table = table.sample(frac=rng.choice((0, 0.3, 1)), random_state=rng.randrange(2**31))
    return table
