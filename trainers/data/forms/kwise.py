"""Any number of responses to a prompt with their scores or ranks, as two lists of one length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import NEIGHBOURS, Scored, neighbours
from trainers.tokens.dialogue import Text, answered, asked

SIGNS = {"scores": 1.0, "rewards": 1.0, "ranks": -1.0}
"""Names of the column that orders the responses, and whether more of it is better."""


@register("kwise")
@dataclass(frozen=True)
class KWise:
    """Several responses to a prompt, with their scores, rewards or ranks (1 is the best).

    Examples
    --------
    >>> rows = [("f:1", KWise().read(Fields.of(KWise.examples[0])))]
    >>> [(draft.chosen[0]["content"], dict(draft.scores)) for _, draft in KWise().pair(rows)]
    [('Because.', {'scores': (0.9, 0.5)}), ('So.', {'scores': (0.5, -1.0)})]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt", "responses"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"id": "k", "prompt": "Why?", "responses": ["So.", "Because.", "Go."], "scores": [0.5, 0.9, -1.0]},
        {"prompt": "Why?", "responses": ["So.", "Because."], "ranks": [2, 1]},
    )
    note: ClassVar[str] = f"{NEIGHBOURS}; scores and rewards are kept as rewards"

    @staticmethod
    def fits(row: Fields) -> str | None:
        name = next((name for name in SIGNS if name in row), None)
        return f"columns prompt, responses and {name}" if name and isinstance(row.values["responses"], list) else None

    def read(self, row: Fields) -> list[Scored]:
        name = next((name for name in SIGNS if name in row), "scores")
        responses, values = row.list("responses"), row.list(name)
        if len(responses) != len(values) or len(responses) < 2:
            raise Unusable(
                f"{name!r} is not one for each of two or more responses", f"{len(values)} for {len(responses)}"
            )
        prompt = row.text_or_messages("prompt")
        prompt = asked(prompt) if isinstance(prompt, str) else prompt
        return [_scored(prompt, *one, name, row.digest()) for one in zip(responses, values, strict=True)]

    def pair(self, items: Sequence[tuple[str, list[Scored]]]) -> Iterator[Outcome]:
        for where, responses in items:
            yield from neighbours([(where, response) for response in responses])


def _scored(prompt: Text, response: object, value: object, name: str, digest: str) -> Scored:
    one = Fields({"responses": response, name: value})
    text = one.text_or_messages("responses")
    number = one.number(name)
    scores = {name: number} if SIGNS[name] > 0 else {}
    return Scored(prompt, answered(text) if isinstance(text, str) else text, SIGNS[name] * number, digest, scores)
