"""Texts to tokens and back: control tokens that a text spells out stay text, and decoding keeps the space in front."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from trainers.tokens.dialogue import Message, Text, plain_prompt

PLACEHOLDER = "\ue000{}\ue001"
"""Private-use characters around a number: what a control token in a message's content is replaced by while rendering."""

TODAY = datetime.date(2024, 7, 26)
"""What a chat template that writes the date is told: the date that Llama 3.1's own template falls back to.

With the date of the day a policy would be trained on one prompt and asked with another.
"""


def encode_texts(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """Tokens of plain texts, without any token in front or behind.

    A control token that a text spells out, such as ``</s>``, is encoded as the characters that it consists of.
    """
    if not texts:
        return []
    unique = list(dict.fromkeys(texts))
    ids = tokenizer(
        unique,
        add_special_tokens=False,
        split_special_tokens=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    by_text = dict(zip(unique, ids, strict=True))
    return [by_text[text] for text in texts]


def bos(tokenizer: Any) -> list[int]:
    """The beginning-of-sequence token as a list; empty if the tokenizer does not add one by itself."""
    begun: list[int] = tokenizer("")["input_ids"][:1]
    return begun if begun == [tokenizer.bos_token_id] else []


def render(tokenizer: Any, messages: Sequence[Message], reply_follows: bool) -> str:
    """A conversation as the text that the chat template makes of it.

    Parameters
    ----------
    tokenizer : PreTrainedTokenizerBase
    messages : sequence of mappings
        With ``role`` and ``content``.
    reply_follows : bool
        Whether the text ends with the cue for the assistant.
    """
    text: str = tokenizer.apply_chat_template(
        list(messages), tokenize=False, add_generation_prompt=reply_follows, strftime_now=TODAY.strftime
    )
    return text


def encode_messages(tokenizer: Any, messages: Sequence[Message], reply_follows: bool, behind: str = "") -> list[int]:
    """Tokens of a conversation: control tokens of the chat template as such, those that a message spells out as text.

    Parameters
    ----------
    tokenizer, messages, reply_follows
        As for `render`.
    behind : str
        Text that follows the rendered conversation, such as the first word of a judge's reply.
    """
    hidden, spelled = hide_control(tokenizer, messages)
    return encode_rendered(tokenizer, render(tokenizer, hidden, reply_follows) + behind, spelled)


def encode_rendered(tokenizer: Any, text: str, spelled: Sequence[str], is_tail: bool = False) -> list[int]:
    """Tokens of a rendered conversation whose contents had their control tokens hidden (`hide_control`).

    Parameters
    ----------
    text : str
    spelled : sequence of str
        What the placeholders in `text` stand for.
    is_tail : bool
        Whether the text follows other text, which its tokens must not merge with.
    """
    pattern = control_pattern(tokenizer)
    if pattern is None or not (spelled or is_tail):
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
    control = control_tokens(tokenizer)
    whole: list[int] = []
    at = 0
    for match in [*pattern.finditer(text), None]:
        piece = text[at : match.start() if match else len(text)]
        for number, token in enumerate(spelled):
            piece = piece.replace(PLACEHOLDER.format(number), token)
        if piece:
            whole += encode_response(tokenizer, piece) if is_tail and not at else encode_texts(tokenizer, [piece])[0]
        if match:
            whole.append(control[match[0]])
            at = match.end()
    return whole


def hide_control(tokenizer: Any, messages: Sequence[Message]) -> tuple[list[Message], list[str]]:
    """Messages whose contents spell out no control token, and the tokens that their placeholders stand for."""
    pattern = control_pattern(tokenizer)
    spelled: list[str] = []

    def hide(match: re.Match[str]) -> str:
        spelled.append(match[0])
        return PLACEHOLDER.format(len(spelled) - 1)

    hidden = [
        {**turn, "content": pattern.sub(hide, turn["content"])}
        if pattern is not None and isinstance(turn["content"], str)
        else turn
        for turn in messages
    ]
    return hidden, spelled


def encode_prompt(tokenizer: Any, prompt: Text) -> list[int]:
    """Tokens of a prompt, in training and generation alike: one BOS if the tokenizer adds one, and no EOS.

    Messages are rendered by the chat template; a tokenizer without one has the plain format
    (`trainers.tokens.dialogue`).
    """
    if isinstance(prompt, str) or not tokenizer.chat_template:
        ids = encode_texts(tokenizer, [plain_prompt(prompt)])[0]
    else:
        ids = encode_messages(tokenizer, prompt, reply_follows=True)
    return with_bos(tokenizer, ids)


def with_bos(tokenizer: Any, ids: list[int]) -> list[int]:
    """Tokens behind one BOS, if the tokenizer adds one by itself."""
    begin = bos(tokenizer)
    return ids if begin and ids[:1] == begin else [*begin, *ids]


def prompt_text(tokenizer: Any, prompt: Text) -> str:
    """A prompt as text: messages by the chat template, or in the plain format without one."""
    if isinstance(prompt, str) or not tokenizer.chat_template:
        return plain_prompt(prompt)
    return render(tokenizer, prompt, reply_follows=True)


def control_pattern(tokenizer: Any) -> re.Pattern[str] | None:
    """What the control tokens of a tokenizer look like in a text; None where there are none."""
    control = control_tokens(tokenizer)
    return re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True)))) if control else None


def control_tokens(tokenizer: Any) -> dict[str, int]:
    """The special tokens of a tokenizer by their spelling."""
    added = {token.content: number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    named = {token: tokenizer.convert_tokens_to_ids(token) for token in tokenizer.all_special_tokens}
    return {**named, **added}


def decode(tokenizer: Any, ids: Sequence[int]) -> str:
    """The text of response tokens as it follows a prompt: control tokens left out, spaces as they were written.

    A decoder that strips the space in front of a text (Metaspace, SentencePiece) would take the space between prompt and
    response away. The tokens are therefore decoded behind a fixed token, whose text is taken off again.
    """
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    alone: str = tokenizer.decode(list(ids), **options)
    anchor = _anchor(tokenizer)
    if anchor is None:
        return alone
    token, text = anchor
    joined: str = tokenizer.decode([token, *ids], **options)
    return joined.removeprefix(text) if joined.startswith(text) else alone


def encode_response(tokenizer: Any, response: str) -> list[int]:
    """Tokens of a response behind a prompt whose tokens it does not merge with.

    A tokenizer that puts a space in front of every text (Metaspace) must not put one in front of a response.
    """
    alone = encode_texts(tokenizer, [response])[0]
    if decode(tokenizer, alone) == response:
        return alone
    for text in ("\n", ":", ".", "a"):
        (head, whole) = encode_texts(tokenizer, [text, text + response])
        tail = whole[len(head) :]
        if whole[: len(head)] == head and decode(tokenizer, tail) == response:
            return tail
    return alone


@lru_cache(maxsize=16)
def _anchor(tokenizer: Any) -> tuple[int, str] | None:
    """An ordinary token and its text, which is the same in front of other tokens; None where there is none."""
    special = {*tokenizer.all_special_ids, *control_tokens(tokenizer).values()}
    options = {"skip_special_tokens": True, "clean_up_tokenization_spaces": False}
    for token in range(min(len(tokenizer), 2048)):
        if token in special:
            continue
        text, twice = (tokenizer.decode([token] * n, **options) for n in (1, 2))
        if text.strip() == text and text and "\ufffd" not in text and twice.startswith(text) and len(twice) > len(text):
            return token, text
    return None
