"""Single responses with a reward each, several to a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields
from trainers.data.forms.form import Outcome, register
from trainers.data.forms.ranking import NEIGHBOURS, Scored, by_prompt, neighbours
from trainers.tokens.dialogue import answered, asked

TEXTS = ("response", "completion", "output", "text")
VALUES = ("reward", "score")


@register("scored")
@dataclass(frozen=True)
class ScoredResponses:
    """Single responses with a reward or a score, several to a prompt.

    A response that begins with white space continues its prompt as text; any other answers it as a turn.

    Examples
    --------
    >>> rows = [("f:1", ScoredResponses().read(Fields.of(row))) for row in ScoredResponses.examples]
    >>> [(draft.chosen, dict(draft.scores)) for _, draft in ScoredResponses().pair(rows)]
    [(' very well', {'reward': (0.9, 0.25)})]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("prompt",))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"prompt": "It went", "text": " badly", "reward": 0.25},
        {"prompt": "It went", "text": " very well", "reward": 0.9},
    )
    note: ClassVar[str] = f"{NEIGHBOURS}; the reward is kept"

    @staticmethod
    def fits(row: Fields) -> str | None:
        text = next((name for name in TEXTS if name in row), None)
        value = next((name for name in VALUES if name in row), None)
        return f"columns prompt, {text} and {value}" if text and value else None

    def read(self, row: Fields) -> Scored:
        name = next((name for name in VALUES if name in row), VALUES[0])
        prompt, text, value = row.text("prompt"), row.text(*TEXTS), row.number(name)
        if text[:1].isspace():
            return Scored(prompt, text, value, row.digest(), {name: value})
        return Scored(asked(prompt), answered(text), value, row.digest(), {name: value})

    def pair(self, items: Sequence[tuple[str, Scored]]) -> Iterator[Outcome]:
        for group in by_prompt(items):
            yield from neighbours(group)
