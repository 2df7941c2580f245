"""Two texts that begin alike: the prompt is what they share, as TRL takes it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.instructions import NAMES
from trainers.tokens.dialogue import ASSISTANT_TURN


@register("implicit_prompt")
@dataclass(frozen=True)
class ImplicitPrompt:
    """TRL's pairs with an implicit prompt: two texts, whose common beginning is the prompt.

    The prompt ends with a word: ``blue`` and ``black`` share two letters that are not part of it.

    Examples
    --------
    >>> draft = ImplicitPrompt().read(Fields.of(ImplicitPrompt.examples[0]))
    >>> draft.prompt, draft.chosen, draft.rejected
    ('The sky is', ' blue.', ' black.')
    """

    columns: ClassVar[frozenset[str]] = frozenset(("chosen", "rejected"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
    )

    @staticmethod
    def fits(row: Fields) -> str | None:
        sides = [row.values[side] for side in ("chosen", "rejected")]
        plain = all(isinstance(side, str) and ASSISTANT_TURN not in side for side in sides)
        has_prompt = any(name in row for name in ("prompt", *NAMES))
        if not plain or has_prompt or not _shared(*map(str, sides)).strip():
            return None
        return "columns chosen and rejected of text that begins alike, no prompt"

    def read(self, row: Fields) -> Draft:
        chosen, rejected = row.text("chosen"), row.text("rejected")
        if chosen == rejected:
            raise Unusable("identical responses")
        prompt = _shared(chosen, rejected)
        sides = Fields({"chosen": chosen[len(prompt) :], "rejected": rejected[len(prompt) :]})
        if not prompt.strip():
            raise Unusable("no 'prompt'", "and chosen and rejected do not begin alike")
        return Draft(prompt, sides.text("chosen"), sides.text("rejected"), row.own_id(), row.digest())

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def _shared(one: str, other: str) -> str:
    """The common beginning up to the end of a word."""
    shared = os.path.commonprefix([one, other])
    while shared and not all(text[len(shared) :][:1].isspace() for text in (one, other)):
        shared = shared[:-1]
    return shared.rstrip()
