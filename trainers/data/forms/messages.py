"""Conversations as lists of messages that end in the response, as UltraFeedback's binarised pairs are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, LeftOut, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.data.forms.pairs import Pairs
from trainers.tokens.dialogue import TURNS, Message


@register("messages")
@dataclass(frozen=True)
class Messages:
    """TRL's conversational pairs: lists of messages, kept as messages.

    A response that stands alone answers ``prompt``, a text or messages. Rows of plain texts are read as pairs.

    Examples
    --------
    >>> draft = Messages().read(Fields.of(Messages.examples[0]))
    >>> draft.prompt, draft.chosen, draft.rejected
    ([{'role': 'user', 'content': 'Hi'}], [{'role': 'assistant', 'content': 'Hello.'}], [{'role': 'assistant', 'content': 'So?'}])
    """

    columns: ClassVar[frozenset[str]] = frozenset(("chosen", "rejected"))
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {
            "id": "a",
            "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
            "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "So?"}],
        },
        {
            "prompt": "Why?",
            "chosen": [{"role": "assistant", "content": "Because."}],
            "rejected": [{"role": "assistant", "content": "Go."}],
        },
    )

    @staticmethod
    def fits(row: Fields) -> str | None:
        if not all(_is_conversation(row.values[side]) for side in ("chosen", "rejected")):
            return None
        prompt = "and their prompt" if "prompt" in row else "whose prompt is all before the last message, no prompt"
        return f"columns chosen and rejected of messages, {prompt}"

    def read(self, row: Fields) -> Draft:
        if not all(_is_conversation(row.values.get(side)) for side in ("chosen", "rejected")):
            return Pairs().read(row)
        (*asked, chosen), (*other, rejected) = row.messages("chosen"), row.messages("rejected")
        if asked != other:
            raise LeftOut("chosen and rejected answer different prompts")
        if {chosen["role"], rejected["role"]} != {"assistant"}:
            raise Unusable("the last message is not the assistant's", f"{chosen['role']!r} and {rejected['role']!r}")
        turns = asked or self._prompt(row)
        if strange := [turn["role"] for turn in turns if turn["role"] not in TURNS]:
            raise Unusable("a message of an unknown role", repr(strange[0]))
        if chosen["content"] == rejected["content"]:
            raise Unusable("identical responses")
        return Draft(turns, [chosen], [rejected], row.own_id(), row.digest())

    def _prompt(self, row: Fields) -> list[Message]:
        prompt = row.text_or_messages("prompt")
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def _is_conversation(value: object) -> bool:
    """Whether a value is a list of messages whose roles are all known; other rows may still be plain pairs."""
    if not isinstance(value, list) or not value:
        return False
    return all(
        isinstance(turn, Mapping) and "content" in turn and isinstance(turn.get("role"), str) and turn["role"] in TURNS
        for turn in value
    )
