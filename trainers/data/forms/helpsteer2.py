"""HelpSteer2: responses to a prompt, each rated by people on five axes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import Scored, by_prompt, neighbours
from trainers.tokens.dialogue import Message, answered

AXES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
_TURN = re.compile(r"\s*<extra_id_1>(User|Assistant)\s*")
"""Mark between the turns of a prompt."""


@register("helpsteer2")
@dataclass(frozen=True)
class HelpSteer2:
    r"""HelpSteer2's rated responses, two to a prompt, the more helpful one preferred.

    Examples
    --------
    >>> rows = [("f:1", HelpSteer2().read(Fields.of(row))) for row in HelpSteer2.examples]
    >>> [(draft.chosen[0]["content"], draft.scores["correctness"]) for _, draft in HelpSteer2().pair(rows)]
    [('Because.', (3.0, 2.0))]
    >>> turns("Hi\n<extra_id_1>Assistant\nHello.\n<extra_id_1>User\nWhy?")[1:]
    [{'role': 'assistant', 'content': 'Hello.'}, {'role': 'user', 'content': 'Why?'}]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "response", *AXES))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"prompt": "Why?", "response": "Go.", "helpfulness": 1, "correctness": 2, "coherence": 4, "complexity": 1,
         "verbosity": 0},
        {"prompt": "Why?", "response": "Because.", "helpfulness": 4, "correctness": 3, "coherence": 4, "complexity": 2,
         "verbosity": 1},
    )  # fmt: skip
    note: ClassVar[str] = "ordered by helpfulness; all five axes are kept as rewards"
    terms: ClassVar[str] = "CC-BY-4.0"

    def read(self, row: Fields) -> Scored:
        scores = {axis: row.number(axis) for axis in AXES}
        prompt = turns(row.text("prompt"))
        return Scored(prompt, answered(row.text("response")), scores["helpfulness"], row.digest(), scores)

    def pair(self, items: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
        for group in by_prompt(items):
            yield from neighbours(group)


def turns(prompt: str) -> list[Message]:
    """The messages of a prompt, whose turns are separated by marks; the first one is the user's."""
    first, *rest = _TURN.split(prompt)
    messages: list[Message] = [{"role": "user", "content": first}]
    for speaker, text in zip(rest[::2], rest[1::2], strict=True):
        messages.append({"role": speaker.lower(), "content": text})
    return messages if all(message["content"].strip() for message in messages) else [messages[0] | {"content": prompt}]
