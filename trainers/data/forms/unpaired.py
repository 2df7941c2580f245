"""Single completions labelled as desirable or not, as KTO takes them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import Scored, by_prompt, contrasts


@register("unpaired")
@dataclass(frozen=True)
class Unpaired:
    """KTO's unpaired completions: a desirable one against an undesirable one to the same prompt.

    Examples
    --------
    >>> rows = [("f:1", Unpaired().read(Fields.of(row))) for row in Unpaired.examples]
    >>> [(draft.chosen, draft.rejected) for _, draft in Unpaired().pair(rows)]
    [(' you', ' no')]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "completion", "label"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"prompt": "Hi", "completion": " you", "label": True},
        {"prompt": "Hi", "completion": " no", "label": False},
    )
    note: ClassVar[str] = (
        "completions to whose prompt there is none of the other label are left out: a run compares pairs"
    )

    def read(self, row: Fields) -> Scored:
        prompt, completion = row.text_or_messages("prompt"), row.text_or_messages("completion")
        if type(prompt) is not type(completion):
            raise Unusable("text and messages are mixed")
        return Scored(prompt, completion, float(row.flag("label")), row.digest())

    def pair(self, items: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
        for group in by_prompt(items):
            yield from contrasts(group)
