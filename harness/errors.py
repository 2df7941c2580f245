"""Mistakes of the user, told in one line each, and how a command ends."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum


class Exit(IntEnum):
    """Exit codes, stable."""

    OK = 0
    REGRESSION = 1
    INTERRUPTED = 2
    FAILED = 3
    USAGE = 4
    NOTHING = 5


class UsageError(Exception):
    """Something the user asked for cannot be done; the message says what to change."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The tail of an error message that offers the nearest valid choice, or else all there are.

    Examples
    --------
    >>> nearest("tempreature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    >>> nearest("q", ["temperature", "top_p"]), nearest("q", [])
    ('; known are temperature, top_p', '')
    """
    known = sorted(known)
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(known)}" if known else ""
