"""HelpSteer3: a conversation, two responses, and people's overall preference."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.helpsteer2_preference import by_strength
from trainers.tokens.dialogue import TURNS


@register("helpsteer3")
@dataclass(frozen=True)
class HelpSteer3:
    """HelpSteer3's preferences: a conversation, two responses, and a preference from −3 for the first to 3 for the second.

    Examples
    --------
    >>> HelpSteer3().read(Fields.of(HelpSteer3.examples[0])).chosen
    [{'role': 'assistant', 'content': 'Go.'}]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("context", "response1", "response2", "overall_preference"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "context": [{"role": "user", "content": "Why?"}], "response1": "Go.", "response2": "Because.",
            "overall_preference": -1,
        },
    )  # fmt: skip
    note: ClassVar[str] = (
        "the strength of a preference is left out, beyond its sign, and so are single annotators' scores"
    )
    terms: ClassVar[str] = "CC-BY-4.0"

    def read(self, row: Fields) -> Draft:
        context = row.messages("context")
        if strange := [turn["role"] for turn in context if turn["role"] not in TURNS]:
            raise Unusable("a message of an unknown role", repr(strange[0]))
        texts = row.text("response1"), row.text("response2")
        return by_strength(context, texts, row.number("overall_preference"), row)

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items
