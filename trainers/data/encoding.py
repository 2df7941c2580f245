"""Prompts and responses as token arrays.

Prompt and response are tokenised *together* and cut where the prompt's own tokens end. That is correct only if the
prompt's tokens are a prefix of the whole, so this is checked for every example. A prompt begins with the
beginning-of-sequence token if the tokenizer adds one, and with one only. Control tokens that a text spells out are text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded, Parts
from trainers.data.fields import Message
from trainers.data.records import DataError, Document, Example, Pair, ResponseGroup, Text
from trainers.tokens import text


@dataclass(frozen=True)
class Limits:
    """How much of an example is kept; see `TrainConfig` for the fields.

    Beyond what training allows, ``on_boundary="split"`` tokenises a response that merges with its prompt
    on its own. That is right for responses that a model generated, token by token, after the prompt.
    """

    max_tokens: int
    max_prompt_tokens: int | None = None
    on_boundary: str = "error"

    @classmethod
    def of(cls, config: TrainConfig, context: int) -> Limits:
        """The limits of a run on a model with this context length."""
        if config.max_tokens is not None and config.max_tokens > context:
            raise ValueError(f"max_tokens ({config.max_tokens}) exceeds the model's context ({context})")
        return cls(config.max_tokens or context, config.max_prompt_tokens, config.on_boundary)


def encode_pairs(pairs: Sequence[Pair], tokenizer: Any, limits: Limits, base_responses: bool = False) -> Encoded:
    """Pairs as K = 2 responses (3 with the base model's own)."""
    columns = ("chosen", "rejected", "base_response") if base_responses else ("chosen", "rejected")
    missing = next((pair.id for pair in pairs if base_responses and pair.base_response is None), None)
    if missing is not None:
        raise DataError(f"pair {missing}", "no 'base_response', which the method needs")
    responses = [[getattr(pair, column) for column in columns] for pair in pairs]
    return encode([p.id for p in pairs], [p.prompt for p in pairs], responses, columns, tokenizer, limits)


def encode_examples(examples: Sequence[Example], tokenizer: Any, limits: Limits) -> Encoded:
    """Unpaired examples as K = 1 response."""
    prompts, responses = [e.prompt for e in examples], [[e.response] for e in examples]
    return encode([e.id for e in examples], prompts, responses, ("response",), tokenizer, limits)


def encode_groups(groups: Sequence[ResponseGroup], tokenizer: Any, limits: Limits) -> Encoded:
    """Groups as K responses, named ``response_0`` to ``response_{K-1}``."""
    columns = tuple(f"response_{k}" for k in range(len(groups[0].responses)))
    responses = [group.responses for group in groups]
    return encode([g.id for g in groups], [g.prompt for g in groups], responses, columns, tokenizer, limits)


def encode_preferences(
    records: Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    tokenizer: Any,
    limits: Limits,
    base_responses: bool = False,
) -> Encoded:
    """Encode pairs, groups or unpaired examples."""
    pairs = [record for record in records if isinstance(record, Pair)]
    groups = [record for record in records if isinstance(record, ResponseGroup)]
    examples = [record for record in records if isinstance(record, Example)]
    if len(records) not in (len(pairs), len(groups), len(examples)):
        raise ValueError("the records are of several kinds; pairs, groups and examples are encoded apart")
    if pairs:
        return encode_pairs(pairs, tokenizer, limits, base_responses)
    return encode_groups(groups, tokenizer, limits) if groups else encode_examples(examples, tokenizer, limits)


def encode_corpus(documents: Sequence[Document], tokenizer: Any, limits: Limits) -> Encoded:
    """SFT records as K = 1 response; a text without a prompt is split into pieces that fit the context."""
    with_prompt = [d for d in documents if d.prompt]
    encoded = encode(
        [d.id for d in with_prompt],
        [d.prompt for d in with_prompt],
        [[d.response] for d in with_prompt],
        ("response",),
        tokenizer,
        limits,
    )
    texts = [d for d in documents if not d.prompt]
    if not texts:
        return encoded
    parts = Parts(("response",), encoded)
    begin = text.bos(tokenizer)
    for position, ids in enumerate(text.encode_texts(tokenizer, [str(d.response) for d in texts])):
        whole = [*begin, *ids, tokenizer.eos_token_id]
        # Pieces overlap by one token, so that every token but the first is predicted exactly once.
        for number, start in enumerate(range(0, len(whole) - 1, limits.max_tokens - 1)):
            piece = whole[start : start + limits.max_tokens]
            ends = start + limits.max_tokens >= len(whole)
            name = f"{texts[position].id}#{number}" if number else texts[position].id
            parts.add(name, position, piece[:1], [piece[1:]], [ends])
    return parts.encoded()


def encode(
    ids: Sequence[str],
    prompts: Sequence[Text],
    responses: Sequence[Sequence[Text]],
    columns: tuple[str, ...],
    tokenizer: Any,
    limits: Limits,
) -> Encoded:
    """Tokenise examples of one prompt and K responses each.

    Raises
    ------
    DataError
        Naming the example, where the prompt's tokens are not a prefix of those of prompt and response
        (unless such examples are to be dropped), or where the prompt leaves no room for a response.
    """
    eos, begin = tokenizer.eos_token_id, text.bos(tokenizer)
    parts = Parts(columns)
    for position, (prompt, whole) in enumerate(_tokenise(tokenizer, ids, prompts, responses)):
        identifier = ids[position]
        if not all(_begins_with(tokens, prompt) for tokens in whole):
            if limits.on_boundary == "error":
                raise DataError(f"example {identifier}", *_boundary(tokenizer, prompt, whole))
            parts.counts[f"boundary_{limits.on_boundary}"] += 1
            if limits.on_boundary == "drop":
                continue
            whole = [[*prompt, *_alone(tokenizer, prompts[position], response)] for response in responses[position]]
        begun = prompt if begin and prompt[:1] == begin else [*begin, *prompt]
        fed = _keep_end(begun, limits.max_prompt_tokens, begin)
        parts.counts["prompts_truncated"] += len(fed) < len(begun)
        room = limits.max_tokens - len(fed)
        if room < 1 or not fed:
            why = "empty prompt" if not fed else "prompt longer than the context"
            raise DataError(f"example {identifier}", why, f"{len(fed)} tokens of {limits.max_tokens}")
        ended = [r if r[-1:] == [eos] else [*r, eos] for r in (tokens[len(prompt) :] for tokens in whole)]
        fits = [len(response) <= room for response in ended]
        parts.counts["responses_truncated"] += fits.count(False)
        parts.add(identifier, position, fed, [response[:room] for response in ended], fits)
    return parts.encoded()


def prompt_text(prompt: Text, tokenizer: Any) -> str:
    """A prompt as text: messages through the chat template."""
    return text.prompt_text(tokenizer, prompt)


def continues(tokenizer: Any, prompts: Sequence[Text], responses: Sequence[Text]) -> list[bool]:
    """Whether the tokens of each prompt are a proper prefix of those of prompt and response together.

    They need not be for a sampled response: what a policy writes token by token may merge with the prompt when it is
    read as text.
    """
    rows = _tokenise(tokenizer, [""] * len(prompts), prompts, [[response] for response in responses])
    return [_begins_with(whole, prompt) for prompt, [whole] in rows]


def _begins_with(tokens: list[int], prompt: list[int]) -> bool:
    return len(tokens) > len(prompt) and tokens[: len(prompt)] == prompt


def _tokenise(
    tokenizer: Any, ids: Sequence[str], prompts: Sequence[Text], responses: Sequence[Sequence[Text]]
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """For each example the tokens of its prompt, and of the prompt with each of its responses."""
    texts: list[str] = []
    for prompt, row in zip(prompts, responses, strict=True):
        if isinstance(prompt, str):
            texts += [prompt, *(prompt + str(response) for response in row)]
    encoded = iter(text.encode_texts(tokenizer, texts))
    for identifier, prompt, row in zip(ids, prompts, responses, strict=True):
        if isinstance(prompt, str):
            yield next(encoded), [next(encoded) for _ in row]
        else:
            head = text.encode_messages(tokenizer, prompt, reply_follows=True)
            yield head, [_conversation(identifier, tokenizer, prompt, response) for response in row]


def _conversation(identifier: str, tokenizer: Any, prompt: Sequence[Message], response: Text) -> list[int]:
    """Tokens of a conversation up to the end-of-sequence token of its last message.

    Raises
    ------
    DataError
        If the chat template writes the prompt otherwise when a response follows.
    """
    messages = [*prompt, *(turn for turn in response if not isinstance(turn, str))]
    if not text.render(tokenizer, messages, False).startswith(text.render(tokenizer, prompt, True)):
        raise DataError(f"example {identifier}", "the chat template changes the prompt when a response follows")
    tokens = text.encode_messages(tokenizer, messages, reply_follows=False)
    ends = [at for at, token in enumerate(tokens) if token == tokenizer.eos_token_id]
    if ends and not text.decode(tokenizer, tokens[ends[-1] + 1 :]).strip():
        return tokens[: ends[-1] + 1]
    return tokens


def _alone(tokenizer: Any, prompt: Text, response: Text) -> list[int]:
    """Tokens of a response that merges with its prompt, as they follow the prompt's last token."""
    if isinstance(prompt, str) or isinstance(response, str):
        return text.encode_response(tokenizer, str(response))
    head = text.render(tokenizer, prompt, reply_follows=True)
    tail = text.render(tokenizer, [*prompt, *response], reply_follows=False)[len(head) :]
    eos = tokenizer.eos_token
    ids: list[int] = tokenizer(tail.rstrip() if tail.rstrip().endswith(eos) else tail, add_special_tokens=False)[
        "input_ids"
    ]
    return ids


def _keep_end(prompt: list[int], limit: int | None, bos: list[int]) -> list[int]:
    if limit is None or len(prompt) <= limit:
        return prompt
    return [*bos, *prompt[len(prompt) - (limit - len(bos)) :]]


def _boundary(tokenizer: Any, prompt: list[int], wholes: list[list[int]]) -> tuple[str, str]:
    whole = next(ids for ids in wholes if ids[: len(prompt)] != prompt or len(ids) == len(prompt))
    at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt) - 1)
    merged = tokenizer.convert_ids_to_tokens(whole[max(at, 0) : at + 1])
    return "the prompt's tokens are not a prefix of those of prompt and response", (
        f"at token {at} the response merges with the prompt into {merged}; end the prompt at a token boundary "
        "or drop such examples with on_boundary='drop'"
    )
