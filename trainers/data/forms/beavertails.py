"""BeaverTails: responses to prompts, each labelled as safe or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import Scored, by_prompt, contrasts
from trainers.tokens.dialogue import answered, asked


@register("beavertails")
@dataclass(frozen=True)
class BeaverTails:
    """BeaverTails' labelled responses: a safe one against an unsafe one to the same prompt.

    Examples
    --------
    >>> rows = [("f:1", BeaverTails().read(Fields.of(row))) for row in BeaverTails.examples]
    >>> [(draft.chosen[0]["content"], dict(draft.scores)) for _, draft in BeaverTails().pair(rows)]
    [('No.', {'safe': (1.0, 0.0)})]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "response", "is_safe"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"prompt": "How?", "response": "So.", "is_safe": False},
        {"prompt": "How?", "response": "No.", "is_safe": True},
    )
    note: ClassVar[str] = (
        "safety alone, kept as the reward 'safe': these rows say nothing of helpfulness; harm categories are left out"
    )
    terms: ClassVar[str] = "CC-BY-NC-4.0"

    def read(self, row: Fields) -> Scored:
        safe = float(row.flag("is_safe"))
        return Scored(asked(row.text("prompt")), answered(row.text("response")), safe, row.digest(), {"safe": safe})

    def pair(self, items: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
        for group in by_prompt(items):
            yield from contrasts(group)
