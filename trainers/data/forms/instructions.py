"""Pairs whose prompt is an instruction or a question, with its input or a system message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import answered, asked

NAMES = ("instruction", "question", "query")
"""Names of the column with the prompt."""


@register("instructions")
@dataclass(frozen=True)
class Instructions:
    """Pairs with the prompt as an instruction or a question, perhaps with an input or a system message.

    ``input`` follows the instruction after an empty line, as Alpaca's prompts have it; ``system`` is a message of its own.

    Examples
    --------
    >>> Instructions().read(Fields.of(Instructions.examples[0])).prompt
    [{'role': 'user', 'content': 'Add.\\n\\n1 and 2'}]
    """

    columns: ClassVar[frozenset[str]] = frozenset(("chosen", "rejected"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"id": 3, "instruction": "Add.", "input": "1 and 2", "output": "3", "rejected": "No.", "chosen": "It is 3."},
        {"system": "Be kind.", "question": "Why?", "chosen": "Because.", "rejected": "Go."},
    )

    @staticmethod
    def fits(row: Fields) -> str | None:
        name = next((name for name in NAMES if name in row), None)
        if name is None or "prompt" in row:
            return None
        more = [other for other in ("input", "system") if other in row.values]
        return f"columns {', '.join([name, 'chosen', 'rejected', *more])}"

    def read(self, row: Fields) -> Draft:
        text = row.text(*NAMES)
        more = row.text("input", empty=True) if "input" in row else ""
        system = row.text("system", empty=True) if "system" in row else ""
        chosen, rejected = row.text("chosen"), row.text("rejected")
        if chosen == rejected:
            raise Unusable("identical responses")
        prompt = [{"role": "system", "content": system}] if system.strip() else []
        prompt += asked(f"{text}\n\n{more}" if more.strip() else text)
        return Draft(prompt, answered(chosen), answered(rejected), row.own_id(), row.digest())

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items
