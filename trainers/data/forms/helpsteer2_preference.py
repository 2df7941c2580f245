"""HelpSteer2's second annotation: which of two responses people prefer, and how strongly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, LeftOut, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.helpsteer2 import turns
from trainers.tokens.dialogue import Text, answered


@register("helpsteer2_preference")
@dataclass(frozen=True)
class HelpSteer2Preference:
    """HelpSteer2's preferences: two responses, and a strength from −3 for the first to 3 for the second.

    Examples
    --------
    >>> HelpSteer2Preference().read(Fields.of(HelpSteer2Preference.examples[0])).chosen
    [{'role': 'assistant', 'content': 'Because.'}]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "response_1", "response_2", "preference_strength"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"prompt": "Why?", "response_1": "Go.", "response_2": "Because.", "preference_strength": 2},
    )
    note: ClassVar[str] = "the strength of a preference is left out, beyond its sign"
    terms: ClassVar[str] = "CC-BY-4.0"

    def read(self, row: Fields) -> Draft:
        texts = row.text("response_1"), row.text("response_2")
        return by_strength(turns(row.text("prompt")), texts, row.number("preference_strength"), row)

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def by_strength(prompt: Text, texts: tuple[str, str], strength: float, row: Fields) -> Draft:
    """The pair of two responses, the second preferred where the strength is positive."""
    if strength == 0:
        raise LeftOut("no preference")
    if texts[0] == texts[1]:
        raise Unusable("identical responses")
    rejected, chosen = texts if strength > 0 else texts[::-1]
    return Draft(prompt, answered(chosen), answered(rejected), row.own_id(), row.digest())
