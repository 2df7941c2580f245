"""Matches of a regular expression, for each response or for every hundred words."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from suites.custom.isolated import values
from suites.custom.scorer import Running, Scored, scorer

MATCHING = Path(__file__).with_name("matching.py")
SECONDS = 10.0
"""For one response."""


@scorer("regex")
@dataclass(frozen=True)
class Regex:
    r"""Number of matches that do not overlap.

    Parameters
    ----------
    regex : str
        Python's syntax (`re`), case-sensitive; ``(?i)`` in front makes it insensitive.
    per : {"response", "100 words", "any"}
        The number, its rate per hundred words, or 1 for a response with a match and 0 for one without.

    Examples
    --------
    >>> texts = ["Yes! Now!", "Calm."]
    >>> [scored.value for scored in Regex("!").score(["", ""], texts, Running())]
    [2.0, 0.0]
    >>> [scored.value for scored in Regex("!", per="100 words").score(["", ""], texts, Running())]
    [100.0, 0.0]
    """

    regex: str
    per: Literal["response", "100 words", "any"] = "response"

    code: ClassVar[tuple[str, ...]] = ("suites.custom.child", "suites.custom.matching")

    def __post_init__(self) -> None:
        try:
            re.compile(self.regex)
        except (re.error, TypeError) as error:
            raise ValueError(f"regex: {self.regex!r} is no regular expression ({error})") from None
        if self.per not in ("response", "100 words", "any"):
            raise ValueError(f"per: should be 'response', '100 words' or 'any', not {self.per!r}")

    @property
    def sources(self) -> Mapping[str, str]:
        return {}

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        return self

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        # In a process of its own, because some patterns take for ever on some texts.
        settings = {"regex": self.regex, "per": self.per}
        return values(MATCHING, "matches", prompts, responses, SECONDS, settings)
