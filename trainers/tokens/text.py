"""Texts to tokens and back: control tokens that a text spells out stay text, and decoding keeps the space in front."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

Message = Mapping[str, Any]
Prompt = str | Sequence[Message]
"""Plain text, or a conversation of ``{role, content}`` messages that the chat template renders."""

PLACEHOLDER = "\ue000{}\ue001"
"""Private-use characters around a number: what a control token in a message's content is replaced by while rendering."""


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
    text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=reply_follows)
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
    control = control_tokens(tokenizer)
    pattern = re.compile("|".join(map(re.escape, sorted(control, key=len, reverse=True)))) if control else None
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
    text = render(tokenizer, hidden, reply_follows) + behind
    if not spelled or pattern is None:
        ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids
    whole: list[int] = []
    at = 0
    for match in [*pattern.finditer(text), None]:
        piece = text[at : match.start() if match else len(text)]
        for number, token in enumerate(spelled):
            piece = piece.replace(PLACEHOLDER.format(number), token)
        whole += encode_texts(tokenizer, [piece])[0] if piece else []
        if match:
            whole.append(control[match[0]])
            at = match.end()
    return whole


def encode_prompt(tokenizer: Any, prompt: Prompt) -> list[int]:
    """Tokens of a prompt, in training and generation alike: one BOS if the tokenizer adds one, and no EOS."""
    if isinstance(prompt, str):
        ids = encode_texts(tokenizer, [prompt])[0]
    else:
        ids = encode_messages(tokenizer, prompt, reply_follows=True)
    begin = bos(tokenizer)
    return ids if begin and ids[:1] == begin else [*begin, *ids]


def prompt_text(tokenizer: Any, prompt: Prompt) -> str:
    """A prompt as text: messages through the chat template."""
    return prompt if isinstance(prompt, str) else render(tokenizer, prompt, reply_follows=True)


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
