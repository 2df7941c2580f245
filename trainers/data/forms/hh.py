"""Transcripts of Anthropic's HH: both sides hold the whole dialogue, and the prompt is what they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.pairs import Pairs
from trainers.tokens.dialogue import ASSISTANT_TURN


@register("hh")
@dataclass(frozen=True)
class HH:
    r"""Transcripts of Anthropic's HH.

    Both sides hold the dialogue from its first turn; the prompt is all that precedes the last turn of the assistant.

    Examples
    --------
    >>> draft = HH().read(Fields.of(HH.examples[0]))
    >>> draft.prompt, draft.chosen
    ('\n\nHuman: Hi\n\nAssistant:', ' Yes')
    """

    columns: ClassVar[frozenset[str]] = frozenset(("chosen", "rejected"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Yes", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
    )

    @staticmethod
    def fits(row: Fields) -> str | None:
        sides = [row.values[side] for side in ("chosen", "rejected")]
        if "prompt" not in row and all(isinstance(side, str) and ASSISTANT_TURN in side for side in sides):
            return "columns chosen and rejected of 'Human:' and 'Assistant:' turns, no prompt"
        return None

    def read(self, row: Fields) -> Draft:
        return Pairs().read(Fields({name: value for name, value in row.values.items() if name != "prompt"}))

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items
