"""Nearest valid choice for a name or a word that is not valid."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(word: str, choices: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The valid choice that resembles `word` most; None where none reaches a similarity of `cutoff`.

    Examples
    --------
    >>> nearest("toxick", ["toxic", "clean"]), nearest("q", ["toxic", "clean"])
    ('toxic', None)
    """
    return next(iter(difflib.get_close_matches(word, list(choices), n=1, cutoff=cutoff)), None)
