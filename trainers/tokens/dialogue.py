"""The plain format of conversations, the dialogue form of Anthropic's HH, and plain texts as messages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

Message = dict[str, Any]
"""``role`` and ``content``, both text, and whatever else the row's message held."""

Text = str | list[Message]
"""Plain text, or a conversation of messages."""

ASSISTANT_TURN = "\n\nAssistant:"
TURNS = {
    "prompter": "\n\nHuman: ", "user": "\n\nHuman: ", "system": "\n\nSystem: ", "assistant": "\n\nAssistant: ",
}  # fmt: skip
"""What stands in front of a turn, by the name that a data set gives its speaker."""

_ROLES = {"Human": "user", "System": "system", "Assistant": "assistant"}
_TURN = re.compile(r"(?:\A\s*|\n\n)(Human|System|Assistant):")


def dialogue(turns: Iterable[tuple[str, str]]) -> str:
    r"""A prompt: the turns, each a role and a text, and the cue for the assistant.

    Other roles than those of `TURNS` are written by their names.

    Examples
    --------
    >>> dialogue([("user", "Hi"), ("assistant", "Hello."), ("user", "Why?")])
    '\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:'
    """
    cues = ((TURNS.get(role, f"\n\n{role.capitalize()}: "), text) for role, text in turns)
    return "".join(f"{cue}{text}" for cue, text in cues) + ASSISTANT_TURN


def reply(text: str) -> str:
    """A response as it follows the cue: the space in front belongs to it.

    Examples
    --------
    >>> reply("Hello.")
    ' Hello.'
    """
    return f" {text}"


def asked(text: str) -> list[Message]:
    """One turn of the user."""
    return [{"role": "user", "content": text}]


def answered(text: str) -> list[Message]:
    """A response as the assistant's turn."""
    return [{"role": "assistant", "content": text}]


def plain_prompt(prompt: Text) -> str:
    """A prompt in the plain format: a text as it is, messages as a dialogue that ends with the cue for the assistant."""
    return prompt if isinstance(prompt, str) else dialogue((turn["role"], turn["content"]) for turn in prompt)


def plain_response(response: Text) -> str:
    """A response in the plain format: a text as it is, a message behind the space that follows the cue."""
    return response if isinstance(response, str) else reply(content_of(response))


def content_of(response: Text) -> str:
    """The text of a response: its own, or that of its messages."""
    return response if isinstance(response, str) else "\n\n".join(str(turn["content"]) for turn in response)


def readable(prompt: Text) -> str:
    r"""A prompt as judges and readers see it: a text and a single user turn as they are, more turns as a dialogue.

    Examples
    --------
    >>> readable([{"role": "user", "content": "Hi"}])
    'Hi'
    >>> readable([{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}])
    '\n\nSystem: Be kind.\n\nHuman: Hi\n\nAssistant:'
    """
    if isinstance(prompt, str):
        return prompt
    if len(prompt) == 1 and prompt[0]["role"] == "user":
        return str(prompt[0]["content"])
    return plain_prompt(prompt)


def as_messages(prompt: Text) -> list[Message]:
    r"""A prompt as messages: a transcript in HH's form by its turns, any other text as one turn of the user.

    A transcript begins with a turn and ends with the cue for the assistant. The space behind a speaker's name is not
    part of the turn; nothing else is changed.

    Examples
    --------
    >>> as_messages("\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: Why?\n\nAssistant:")[1:]
    [{'role': 'assistant', 'content': 'Hello.'}, {'role': 'user', 'content': 'Why?'}]
    >>> as_messages("Why?")
    [{'role': 'user', 'content': 'Why?'}]
    """
    if not isinstance(prompt, str):
        return list(prompt)
    if not is_transcript(prompt):
        return [{"role": "user", "content": prompt}]
    marks = list(_TURN.finditer(prompt))
    ends = [*(mark.start() for mark in marks[1:]), len(prompt)]
    turns = [
        {"role": _ROLES[mark[1]], "content": prompt[mark.end() : end].removeprefix(" ")}
        for mark, end in zip(marks, ends, strict=True)
    ]
    return turns[:-1]


def as_reply(prompt: Text, response: Text) -> list[Message]:
    r"""A response as the assistant's message; the space that separates a plain response from its prompt is left out.

    Examples
    --------
    >>> as_reply("\n\nHuman: Hi\n\nAssistant:", " Hello.")
    [{'role': 'assistant', 'content': 'Hello.'}]
    """
    if not isinstance(response, str):
        return list(response)
    return [{"role": "assistant", "content": response.removeprefix(" ") if isinstance(prompt, str) else response}]


def is_transcript(prompt: str) -> bool:
    """Whether a text is a transcript in HH's form that ends with the cue for the assistant."""
    marks = list(_TURN.finditer(prompt))
    if len(marks) < 2 or marks[0].start() or marks[-1][1] != "Assistant":
        return False
    return not prompt[marks[-1].end() :].strip()
