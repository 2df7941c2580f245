"""Mistakes of the user, told in one line each."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UsageError(Exception):
    """Something the user asked for cannot be done; the message says what to change."""


def nearest(word: str, known: Iterable[str]) -> str:
    """The tail of an error message that offers the nearest valid choice.

    Examples
    --------
    >>> nearest("tempreature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    >>> nearest("q", ["temperature", "top_p"])
    '; known are temperature, top_p'
    """
    known = list(known)
    close = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
