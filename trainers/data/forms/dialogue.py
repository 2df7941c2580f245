"""Turns of a conversation as text, in the dialogue form of Anthropic's HH."""

from __future__ import annotations

from collections.abc import Iterable

from trainers.data.forms.pairs import ASSISTANT_TURN

TURNS = {
    "prompter": "\n\nHuman: ", "user": "\n\nHuman: ", "system": "\n\nSystem: ", "assistant": "\n\nAssistant: ",
}  # fmt: skip
"""What stands in front of a turn, by the name that a data set gives its speaker."""


def dialogue(turns: Iterable[tuple[str, str]]) -> str:
    r"""A prompt: the turns, each a role of `TURNS` and a text, and the cue for the assistant.

    Examples
    --------
    >>> dialogue([("user", "Hi"), ("assistant", "Hello."), ("user", "Why?")])
    '\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:'
    """
    return "".join(f"{TURNS[role]}{text}" for role, text in turns) + ASSISTANT_TURN


def reply(text: str) -> str:
    """A response as it follows the cue: the space in front belongs to it.

    Examples
    --------
    >>> reply("Hello.")
    ' Hello.'
    """
    return f" {text}"
