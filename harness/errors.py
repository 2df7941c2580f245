"""Errors of the user in one line each, and exit codes of commands."""

from __future__ import annotations

import difflib
import re
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
    """A request that cannot be carried out; the message says what to change."""


class StageFailed(Exception):
    """The error of a stage in one line, which every process can read whatever library raised it."""


class WorkerDied(Exception):
    """The end of a worker process before its job was done: it was killed, or crashed."""


def described(error: BaseException) -> str:
    """Type and first line of an error.

    Examples
    --------
    >>> described(ValueError("no such column\\nin the file")), described(StageFailed("OSError: disk full"))
    ('ValueError: no such column', 'OSError: disk full')
    """
    text = (str(error).strip() or "no message").splitlines()[0]
    return text if isinstance(error, StageFailed | WorkerDied) else f"{type(error).__name__}: {text}"


CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
"""Characters that move a terminal's cursor, change the direction of writing, or are none."""


def one_line(text: object) -> str:
    """A text as one line for a terminal: line breaks and tabs become spaces, other control characters their escapes.

    Examples
    --------
    >>> one_line("two\\nlines \\x1b[2J")
    'two lines \\\\x1b[2J'
    """
    return CONTROL.sub(lambda odd: " " if odd[0] in "\t\r\n" else ascii(odd[0])[1:-1], str(text))


def nearest(word: str, choices: Iterable[str]) -> str:
    """End of an error message: the nearest valid choice, or all choices if none is near.

    Examples
    --------
    >>> nearest("tempreature", ["temperature", "top_p"])
    "; did you mean 'temperature'?"
    >>> nearest("q", ["temperature", "top_p"]), nearest("q", [])
    ('; known are temperature, top_p', '')
    """
    names = sorted(choices)
    close = difflib.get_close_matches(word, names, n=1)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; known are {', '.join(names)}" if names else ""
