"""Rows that are pairs already: ``prompt, chosen, rejected``, or whole dialogues as Anthropic's HH has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from trainers.data.fields import Fields, Unusable
from trainers.data.forms.form import Draft, Outcome, register
from trainers.tokens.dialogue import ASSISTANT_TURN, Text


@register("pairs")
@dataclass(frozen=True)
class Pairs:
    """TRL's pairs: two responses and their prompt, each a text or a list of messages.

    Without a ``prompt`` both sides hold the whole dialogue, and the prompt is all that precedes the last assistant turn.

    Examples
    --------
    >>> Pairs().read(Fields.of({"prompt": "Hi", "chosen": " you", "rejected": " there"})).chosen
    ' you'
    >>> Pairs().read(Fields.of({"chosen": "\\n\\nHuman: Hi\\n\\nAssistant: Yes", "rejected": "\\n\\nHuman: Hi\\n\\nAssistant: No"})).prompt
    '\\n\\nHuman: Hi\\n\\nAssistant:'
    """

    columns: ClassVar[frozenset[str]] = frozenset()
    examples: ClassVar[Sequence[Mapping[str, object]]] = (
        {"id": "a", "prompt": "Hi", "chosen": " you", "rejected": " there", "base_response": " all"},
        {"chosen": "\n\nHuman: Hi\n\nAssistant: Yes", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
    )

    @staticmethod
    def fits(row: Fields) -> str | None:
        if not all(name in row for name in ("prompt", "chosen", "rejected")):
            return None
        kinds = {"text" if isinstance(row.values[name], str) else "messages" for name in ("chosen", "rejected")}
        return f"columns prompt, chosen, rejected of {' and '.join(sorted(kinds))}"

    def read(self, row: Fields) -> Draft:
        chosen, rejected = row.text_or_messages("chosen"), row.text_or_messages("rejected")
        if "prompt" in row:
            prompt = row.text_or_messages("prompt")
            chosen, rejected = _without_prompt(prompt, chosen, rejected)
        else:
            (prompt, chosen), (other, rejected) = _split_dialogue(chosen), _split_dialogue(rejected)
            if prompt != other:
                raise Unusable("chosen and rejected answer different prompts")
            sides = Fields({"chosen": chosen, "rejected": rejected})
            chosen, rejected = sides.text_or_messages("chosen"), sides.text_or_messages("rejected")
        if chosen == rejected:
            raise Unusable("identical responses")
        if type(chosen) is not type(rejected) or type(prompt) is not type(chosen):
            raise Unusable("text and messages are mixed")
        base_response = row.text_or_messages("base_response") if "base_response" in row else None
        for response in (chosen, rejected, base_response):
            _require_reply(response)
        return Draft(prompt, chosen, rejected, row.own_id(), row.digest(), base_response)

    def pair(self, items: Sequence[tuple[str, Draft]]) -> Iterable[Outcome]:
        return items


def _without_prompt(prompt: Text, chosen: Text, rejected: Text) -> tuple[Text, Text]:
    """Responses without the dialogue that is their prompt, where both are written with it in front."""
    if not isinstance(prompt, str) or not prompt.rstrip().endswith(ASSISTANT_TURN.strip()):
        return chosen, rejected
    if not all(isinstance(side, str) and side.startswith(prompt) for side in (chosen, rejected)):
        return chosen, rejected
    rest = Fields({name: str(side).removeprefix(prompt) for name, side in (("chosen", chosen), ("rejected", rejected))})
    return rest.text("chosen"), rest.text("rejected")


def _require_reply(response: Text | None) -> None:
    """Refuse messages that are not the assistant's, such as a whole conversation beside its prompt."""
    if isinstance(response, list) and (others := [turn["role"] for turn in response if turn["role"] != "assistant"]):
        raise Unusable("a response holds a message that is not the assistant's", repr(others[0]))


def _split_dialogue(dialogue: Text) -> tuple[Text, Text]:
    if isinstance(dialogue, list):
        if len(dialogue) < 2:
            raise Unusable("no 'prompt'", "a single message cannot hold prompt and response")
        return dialogue[:-1], dialogue[-1:]
    head, turn, response = dialogue.rpartition(ASSISTANT_TURN)
    if not turn:
        raise Unusable("no 'prompt'", f"and no {ASSISTANT_TURN!r} at which to split the dialogue")
    return head + turn, response
