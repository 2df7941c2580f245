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
from trainers.data.records import DataError, Document, Example, Pair, ResponseGroup, Text
from trainers.tokens import text
from trainers.tokens.dialogue import as_reply, plain_prompt, plain_response
from trainers.tokens.template import TemplateFault, encode_behind, encode_exchange, end_token, rendered_exchange


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
    begin = text.bos(tokenizer)
    parts = Parts(columns)
    for position, (prompt, whole) in enumerate(_tokenise(tokenizer, ids, prompts, responses)):
        identifier, asked = ids[position], prompts[position]
        if not all(_begins_with(tokens, prompt) for tokens in whole):
            # A policy writes its reply to messages behind the cue of the template, whatever the reply begins with.
            how = "split" if limits.on_boundary == "error" and not isinstance(asked, str) else limits.on_boundary
            if how == "error":
                raise DataError(f"example {identifier}", *_boundary(tokenizer, prompt, whole))
            parts.counts[f"boundary_{how}"] += 1
            if how == "drop":
                continue
            whole = [
                tokens if _begins_with(tokens, prompt) else [*prompt, *encode_behind(tokenizer, asked, response)]
                for tokens, response in zip(whole, responses[position], strict=True)
            ]
        begun = prompt if begin and prompt[:1] == begin else [*begin, *prompt]
        fed = _keep_end(begun, limits.max_prompt_tokens, begin)
        if len(fed) < len(begun) and tokenizer.chat_template and not isinstance(asked, str):
            parts.counts["conversations_too_long"] += 1  # without its beginning it would be another conversation
            continue
        parts.counts["prompts_truncated"] += len(fed) < len(begun)
        room = limits.max_tokens - len(fed)
        if room < 1 or not fed:
            why = "empty prompt" if not fed else "prompt longer than the context"
            raise DataError(f"example {identifier}", why, f"{len(fed)} tokens of {limits.max_tokens}")
        end = end_token(tokenizer, asked)
        ended = [r if r[-1:] == [end] else [*r, end] for r in (tokens[len(prompt) :] for tokens in whole)]
        fits = [len(response) <= room for response in ended]
        parts.counts["responses_truncated"] += fits.count(False)
        parts.add(identifier, position, fed, [response[:room] for response in ended], fits)
    if prompts and not parts.ids:
        reasons = ", ".join(f"{count} × {why}" for why, count in parts.counts.items() if count)
        raise DataError("data", "no example is left", f"{reasons} of {len(prompts)}")
    return parts.encoded()


def prompt_text(prompt: Text, tokenizer: Any) -> str:
    """A prompt as text: messages through the chat template."""
    return text.prompt_text(tokenizer, prompt)


def continues(tokenizer: Any, prompts: Sequence[Text], responses: Sequence[Text]) -> list[bool]:
    """Whether the tokens of each prompt are a proper prefix of those of prompt and response together.

    They need not be for a sampled response: what a policy writes token by token may merge with the prompt when it is
    read as text, and a chat template may change or refuse what it says.
    """
    accepted = [_accepts(tokenizer, *pair) for pair in zip(prompts, responses, strict=True)]
    asked = [prompt for prompt, accepts in zip(prompts, accepted, strict=True) if accepts]
    replies = [[response] for response, accepts in zip(responses, accepted, strict=True) if accepts]
    rows = iter(_tokenise(tokenizer, [""] * len(asked), asked, replies))
    joined = (_begins_with(whole, prompt) for prompt, [whole] in rows)
    return [accepts and next(joined) for accepts in accepted]


def _accepts(tokenizer: Any, prompt: Text, response: Text) -> bool:
    """Whether the chat template writes a conversation as it is; texts have none."""
    if isinstance(prompt, str) or not tokenizer.chat_template:
        return True
    try:
        rendered_exchange(tokenizer, prompt, as_reply(prompt, response))
    except TemplateFault:
        return False
    return True


def _begins_with(tokens: list[int], prompt: list[int]) -> bool:
    return len(tokens) > len(prompt) and tokens[: len(prompt)] == prompt


def _tokenise(
    tokenizer: Any, ids: Sequence[str], prompts: Sequence[Text], responses: Sequence[Sequence[Text]]
) -> Iterator[tuple[list[int], list[list[int]]]]:
    """For each example the tokens of its prompt, and of the prompt with each of its responses.

    Texts, and messages of a tokenizer without a chat template, are encoded at once.
    """
    plain = [isinstance(prompt, str) or not tokenizer.chat_template for prompt in prompts]
    texts: list[str] = []
    for prompt, row, is_plain in zip(prompts, responses, plain, strict=True):
        if is_plain:
            start = plain_prompt(prompt)
            texts += [start, *(start + plain_response(response) for response in row)]
    encoded = iter(text.encode_texts(tokenizer, texts))
    for identifier, prompt, row, is_plain in zip(ids, prompts, responses, plain, strict=True):
        if is_plain or isinstance(prompt, str):
            yield next(encoded), [next(encoded) for _ in row]
        else:
            try:
                wholes = [encode_exchange(tokenizer, prompt, as_reply(prompt, response)) for response in row]
            except TemplateFault as fault:
                raise DataError(f"example {identifier}", str(fault)) from None
            yield text.encode_messages(tokenizer, prompt, reply_follows=True), wholes


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
