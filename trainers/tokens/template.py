"""Exchanges of a prompt and its reply by a chat template: tokens, the end of a turn, and contents kept as written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from trainers.tokens.dialogue import Message, Text, plain_prompt, plain_response
from trainers.tokens.text import (
    control_pattern,
    control_tokens,
    decode,
    encode_prompt,
    encode_rendered,
    encode_response,
    encode_texts,
    hide_control,
    render,
    with_bos,
)

OPEN, CLOSE = "\ue002", "\ue003"
"""Private-use characters around every content, by which a template that changes a content is found out."""


class TemplateFault(ValueError):
    """A conversation that a chat template refuses or does not write as it is, in one line that names the turn."""


@dataclass(frozen=True)
class Frame:
    """What a chat template writes around a reply behind the cue for the assistant.

    Parameters
    ----------
    before, after : str
        Text in front of and behind the content, without control tokens, up to the end of the turn.
    end : int or None
        The token that ends the assistant's turn; None where the template writes none.
    """

    before: str = ""
    after: str = ""
    end: int | None = None


def frame(tokenizer: Any) -> Frame:
    """The frame of a reply by the tokenizer's chat template; an empty one without a template."""
    return _frame(tokenizer, str(tokenizer.chat_template)) if tokenizer.chat_template else Frame()


@lru_cache(maxsize=16)
def _frame(tokenizer: Any, template: str) -> Frame:
    asked: list[Message] = [{"role": "user", "content": "a"}]
    content = f"{OPEN}{CLOSE}"
    try:
        cue = render(tokenizer, asked, True)
        whole = render(tokenizer, [*asked, {"role": "assistant", "content": content}], False)
    except Exception:  # a template may raise anything for a conversation that it does not expect
        return Frame()
    before, separator, after = whole.removeprefix(cue).partition(content)
    if not separator or not whole.startswith(cue):
        return Frame()
    pattern = control_pattern(tokenizer)
    mark = pattern.search(after) if pattern else None
    end = control_tokens(tokenizer)[mark[0]] if mark else None
    return Frame(pattern.sub("", before) if pattern else before, after[: mark.start()] if mark else after, end)


def end_tokens(tokenizer: Any) -> frozenset[int]:
    """The tokens at which generation stops: end of sequence, and end of the assistant's turn by the chat template."""
    return frozenset(token for token in (tokenizer.eos_token_id, frame(tokenizer).end) if token is not None)


def end_token(tokenizer: Any, prompt: Text) -> int:
    """The token that ends a response to a prompt in training.

    Returns
    -------
    int
        The template's end of turn for messages; the end of sequence for a text, and where the template writes none.
    """
    end = None if isinstance(prompt, str) else frame(tokenizer).end
    eos: int = tokenizer.eos_token_id
    return eos if end is None else end


@dataclass(frozen=True)
class Rendered:
    """A conversation as its chat template writes it.

    Parameters
    ----------
    text : str
        With placeholders for the control tokens that contents spell out (`spelled`, by number).
    spelled : list of str
    trimmed : bool
        Whether the template leaves out white space at the ends of a content.
    """

    text: str
    spelled: list[str]
    trimmed: bool


@dataclass(frozen=True)
class Exchange:
    """A prompt and its response as a chat template writes them; see `Rendered`.

    Parameters
    ----------
    head, tail : str
        The prompt with the cue for the assistant, and what follows up to the end of the turn.
    """

    head: str
    tail: str
    spelled: list[str]
    trimmed: bool


def rendered(tokenizer: Any, messages: list[Message], reply_follows: bool) -> Rendered:
    """Render a conversation, once every content is found in what the template writes.

    Raises
    ------
    TemplateFault
        If the template refuses the conversation, or changes, moves or leaves out what a turn says. White space at the
        ends of a content may be left out.
    """
    hidden, spelled = hide_control(tokenizer, messages)
    marked = [{**turn, "content": f"{OPEN}{turn['content']}{CLOSE}"} for turn in hidden]
    try:
        text, wrapped = (render(tokenizer, turns, reply_follows) for turns in (hidden, marked))
    except Exception as fault:  # a template may raise anything for a conversation that it does not expect
        reason = next(iter(str(fault).splitlines()), type(fault).__name__)
        raise TemplateFault(f"the chat template refuses the conversation: {reason}") from None
    written = re.findall(f"{OPEN}(.*?){CLOSE}", wrapped, flags=re.DOTALL)
    for number, turn in enumerate(hidden, start=1):
        if written[number - 1 : number] != [turn["content"]]:
            raise TemplateFault(f"the chat template does not write turn {number} ({turn['role']}) as it is")
    unmarked = wrapped.replace(OPEN, "").replace(CLOSE, "")
    if _squeezed(unmarked) != _squeezed(text):
        raise TemplateFault(_changed_turn(text, hidden))
    return Rendered(text, spelled, unmarked != text)


def encode_checked(tokenizer: Any, prompt: Text) -> list[int]:
    """Tokens of a prompt to answer (`encode_prompt`), once its chat template is seen to write every turn as it is."""
    if not isinstance(prompt, str) and tokenizer.chat_template:
        rendered(tokenizer, prompt, True)
    return encode_prompt(tokenizer, prompt)


def encode_exchange(tokenizer: Any, prompt: list[Message], response: list[Message]) -> list[int]:
    """Tokens of a conversation by the chat template, up to the token that ends the assistant's turn.

    Raises
    ------
    TemplateFault
        As `rendered`, or if the template writes the prompt otherwise when a response follows.
    """
    exchange = rendered_exchange(tokenizer, prompt, response)
    return encode_rendered(tokenizer, exchange.head + exchange.tail, exchange.spelled)


def rendered_exchange(tokenizer: Any, prompt: list[Message], response: list[Message]) -> Exchange:
    """Render a prompt and its response; raises what `encode_exchange` does."""
    whole = rendered(tokenizer, [*prompt, *response], False)
    head = render(tokenizer, hide_control(tokenizer, prompt)[0], True)
    if not whole.text.startswith(head):
        raise TemplateFault("the chat template changes the prompt when a response follows")
    tail = whole.text.removeprefix(head)
    text, mark, _ = tail.partition(tokenizer.convert_ids_to_tokens(end_token(tokenizer, prompt)))
    return Exchange(head, text + mark, whole.spelled, whole.trimmed)


def _squeezed(text: str) -> str:
    return "".join(text.split())


def _changed_turn(text: str, hidden: list[Message]) -> str:
    """The fault of the first turn whose content is not in the text behind the turns before it."""
    squeezed, at = _squeezed(text), 0
    for number, turn in enumerate(hidden, start=1):
        content = _squeezed(turn["content"])
        start = squeezed.find(content, at)
        if start < 0:
            return f"the chat template does not write turn {number} ({turn['role']}) as it is"
        at = start + len(content)
    return "the chat template writes these contents otherwise than others"


def read_response(tokenizer: Any, prompt: Text, ids: Sequence[int]) -> str:
    """The text of a response's tokens, without its end: what a message says for messages, else what was written."""
    text = decode(tokenizer, ids)
    if isinstance(prompt, str):
        return text
    if not tokenizer.chat_template:
        return text.removeprefix(" ")
    around = frame(tokenizer)
    return text.removeprefix(around.before).removesuffix(around.after)


def encode_pair(tokenizer: Any, prompt: Text, response: Text) -> list[int]:
    """Tokens of a prompt with a response: messages by the chat template, others in the plain format."""
    if isinstance(prompt, str) or isinstance(response, str) or not tokenizer.chat_template:
        return encode_texts(tokenizer, [plain_prompt(prompt) + plain_response(response)])[0]
    return encode_exchange(tokenizer, prompt, response)


def encode_behind(tokenizer: Any, prompt: Text, response: Text) -> list[int]:
    """Tokens of a response that merges with its prompt, as they follow the prompt's last token."""
    if isinstance(prompt, str) or isinstance(response, str) or not tokenizer.chat_template:
        return encode_response(tokenizer, plain_response(response))
    exchange = rendered_exchange(tokenizer, prompt, response)
    return encode_rendered(tokenizer, exchange.tail, exchange.spelled, is_tail=True)


def encode_joined(tokenizer: Any, prompt: Text, response: Text) -> list[int]:
    """Tokens of a prompt, with its BOS, and a response as training joins them, its end included for messages."""
    head, whole = encode_prompt(tokenizer, prompt), with_bos(tokenizer, encode_pair(tokenizer, prompt, response))
    if len(whole) > len(head) and whole[: len(head)] == head:
        return whole
    return [*head, *encode_behind(tokenizer, prompt, response)]
