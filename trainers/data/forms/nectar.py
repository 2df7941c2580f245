"""Nectar: seven answers to a prompt, ranked by a model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import NEIGHBOURS, Scored, neighbours
from trainers.tokens.dialogue import answered, as_messages


@register("nectar")
@dataclass(frozen=True)
class Nectar:
    """Nectar's ranked answers, seven to a prompt.

    Examples
    --------
    >>> rows = [("f:1", Nectar().read(Fields.of(Nectar.examples[0])))]
    >>> [(draft.chosen[0]["content"], draft.rejected[0]["content"]) for _, draft in Nectar().pair(rows)]
    [('Because.', 'So.'), ('So.', 'Go.')]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "answers"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "prompt": "\n\nHuman: Why? \n\nAssistant: ",
            "answers": [
                {"answer": "So.", "model": "b", "rank": 2.0},
                {"answer": "Because.", "model": "a", "rank": 1.0},
                {"answer": "Go.", "model": "c", "rank": 3.0},
            ],
        },
    )
    note: ClassVar[str] = NEIGHBOURS
    terms: ClassVar[str] = "Apache-2.0, under the condition that it is not used to compete with OpenAI"

    def read(self, row: Fields) -> list[Scored]:
        prompt = [{**turn, "content": turn["content"].strip()} for turn in as_messages(row.text("prompt"))]
        if not all(turn["content"] for turn in prompt):
            raise Unusable("empty 'prompt'", "a turn without text")
        answers = row.records("answers")
        if len(answers) < 2:
            raise Unusable("fewer than two answers")
        return [
            Scored(prompt, answered(answer.text("answer")), -answer.number("rank"), row.digest()) for answer in answers
        ]

    def pair(self, items: Sequence[tuple[str, list[Scored]]]) -> Iterator[Outcome]:
        for where, answers in items:
            yield from neighbours([(where, answer) for answer in answers])
