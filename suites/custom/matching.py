"""Counting of a pattern's matches; the standard library alone, as it runs in a process of its own."""

from __future__ import annotations

import re


def matches(response: str, regex: str, per: str) -> float:
    """Matches of a pattern in a response: their number, their rate per hundred words, or whether there is any.

    Examples
    --------
    >>> [matches("Yes! Now!", "!", per) for per in ("response", "100 words", "any")]
    [2.0, 100.0, 1.0]
    """
    count = sum(1 for _ in re.finditer(regex, response))
    if per == "any":
        return float(count > 0)
    return float(count) if per == "response" else 100.0 * count / max(1, len(response.split()))
