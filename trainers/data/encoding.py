"""From text to token arrays: the one place where prompts and responses become tokens.

Prompt and response are tokenised *together* and cut where the prompt's own tokens end. That is only
right if the prompt's tokens are a prefix of the whole, so this is checked for every example. A prompt
is encoded as ``tokenizer(prompt)`` encodes it: with the beginning-of-sequence token if the tokenizer
adds one, and with that one only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded, Parts
from trainers.data.records import DataError, Document, Example, Pair, ResponseGroup, Text


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


def encode_pairs(pairs: Sequence[Pair], tokenizer, limits: Limits, base_responses: bool = False) -> Encoded:
    """Pairs as K = 2 responses (3 with the base model's own)."""
    columns = ("chosen", "rejected", "base_response") if base_responses else ("chosen", "rejected")
    missing = next((pair.id for pair in pairs if base_responses and pair.base_response is None), None)
    if missing is not None:
        raise DataError(f"pair {missing}", "no 'base_response', which the method needs")
    responses = [[getattr(pair, column) for column in columns] for pair in pairs]
    return encode([p.id for p in pairs], [p.prompt for p in pairs], responses, columns, tokenizer, limits)


def encode_examples(examples: Sequence[Example], tokenizer, limits: Limits) -> Encoded:
    """Unpaired examples as K = 1 response."""
    prompts, responses = [e.prompt for e in examples], [[e.response] for e in examples]
    return encode([e.id for e in examples], prompts, responses, ("response",), tokenizer, limits)


def encode_groups(groups: Sequence[ResponseGroup], tokenizer, limits: Limits) -> Encoded:
    """Groups as K responses, named ``response_0`` to ``response_{K-1}``."""
    columns = tuple(f"response_{k}" for k in range(len(groups[0].responses)))
    responses = [group.responses for group in groups]
    return encode([g.id for g in groups], [g.prompt for g in groups], responses, columns, tokenizer, limits)


def encode_preferences(
    records: Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    tokenizer,
    limits: Limits,
    base_responses: bool = False,
) -> Encoded:
    """Pairs, groups or unpaired examples, whichever they are."""
    if isinstance(records[0], Pair):
        return encode_pairs(records, tokenizer, limits, base_responses)
    if isinstance(records[0], ResponseGroup):
        return encode_groups(records, tokenizer, limits)
    return encode_examples(records, tokenizer, limits)


def encode_corpus(documents: Sequence[Document], tokenizer, limits: Limits) -> Encoded:
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
    bos = _bos(tokenizer)
    for position, ids in enumerate(tokenizer([d.response for d in texts], add_special_tokens=False).input_ids):
        whole = [*bos, *ids, tokenizer.eos_token_id]
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
    tokenizer,
    limits: Limits,
) -> Encoded:
    """Tokenise examples of one prompt and K responses each.

    Raises
    ------
    DataError
        Naming the example, where the prompt's tokens are not a prefix of those of prompt and response
        (unless such examples are to be dropped), or where the prompt leaves no room for a response.
    """
    rendered = [_render(*row, tokenizer) for row in zip(ids, prompts, responses, strict=True)]
    bos, eos = _bos(tokenizer), tokenizer.eos_token_id
    alone = _tokenise(tokenizer, [prompt for prompt, _ in rendered])
    wholes = iter(_tokenise(tokenizer, [prompt + response for prompt, row in rendered for response in row]))
    parts = Parts(columns)
    for position, (identifier, prompt) in enumerate(zip(ids, alone, strict=True)):
        whole = [next(wholes) for _ in columns]
        if any(ids_[: len(prompt)] != prompt or len(ids_) == len(prompt) for ids_ in whole):
            if limits.on_boundary == "error":
                raise DataError(f"example {identifier}", *_boundary(tokenizer, prompt, whole))
            parts.counts[f"boundary_{limits.on_boundary}"] += 1
            if limits.on_boundary == "drop":
                continue
            whole = [[*prompt, *ids_] for ids_ in _tokenise(tokenizer, rendered[position][1])]
        begun = prompt if bos and prompt[:1] == bos else [*bos, *prompt]
        kept = _keep_end(begun, limits.max_prompt_tokens, bos)
        parts.counts["prompts_truncated"] += len(kept) < len(begun)
        room = limits.max_tokens - len(kept)
        if room < 1 or not kept:
            why = "empty prompt" if not kept else "prompt longer than the context"
            raise DataError(f"example {identifier}", why, f"{len(kept)} tokens of {limits.max_tokens}")
        ended = [r if r[-1:] == [eos] else [*r, eos] for r in (ids_[len(prompt) :] for ids_ in whole)]
        fits = [len(response) <= room for response in ended]
        parts.counts["responses_truncated"] += fits.count(False)
        parts.add(identifier, position, kept, [response[:room] for response in ended], fits)
    return parts.encoded()


def prompt_text(prompt: Text, tokenizer) -> str:
    """A prompt as text: messages through the chat template."""
    if isinstance(prompt, str):
        return prompt
    return tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)


def continues(tokenizer, prompts: Sequence[Text], responses: Sequence[Text]) -> list[bool]:
    """Whether each response, tokenised together with its prompt, begins where the prompt's tokens end.

    A sampled response need not: what a policy writes token by token may merge with the prompt when read as text.
    """
    rendered = [_render("", prompt, [response], tokenizer) for prompt, response in zip(prompts, responses, strict=True)]
    alone = _tokenise(tokenizer, [prompt for prompt, _ in rendered])
    wholes = _tokenise(tokenizer, [prompt + response for prompt, [response] in rendered])
    return [
        whole[: len(prompt)] == prompt and len(whole) > len(prompt) for prompt, whole in zip(alone, wholes, strict=True)
    ]


def _render(identifier: str, prompt: Text, responses: Sequence[Text], tokenizer) -> tuple[str, list[str]]:
    """Text as it is; messages through the chat template, which must not change the prompt's part."""
    if isinstance(prompt, str):
        return prompt, list(responses)
    head = prompt_text(prompt, tokenizer)
    tails = []
    for response in responses:
        whole = tokenizer.apply_chat_template([*prompt, *response], tokenize=False)
        if not whole.startswith(head):
            raise DataError(f"example {identifier}", "the chat template changes the prompt when a response follows")
        tail, eos = whole[len(head) :], tokenizer.eos_token
        tails.append(tail.rstrip() if tail.rstrip().endswith(eos) else tail)
    return head, tails


def _bos(tokenizer) -> list[int]:
    """The beginning-of-sequence token as a list, empty when the tokenizer does not add one by itself."""
    begun = tokenizer("").input_ids[:1]
    return begun if begun == [tokenizer.bos_token_id] else []


def _tokenise(tokenizer, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    unique = list(dict.fromkeys(texts))
    ids = tokenizer(
        unique, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False
    ).input_ids
    by_text = dict(zip(unique, ids, strict=True))
    return [by_text[text] for text in texts]


def _keep_end(prompt: list[int], limit: int | None, bos: list[int]) -> list[int]:
    if limit is None or len(prompt) <= limit:
        return prompt
    return [*bos, *prompt[len(prompt) - (limit - len(bos)) :]]


def _boundary(tokenizer, prompt: list[int], wholes: list[list[int]]) -> tuple[str, str]:
    whole = next(ids for ids in wholes if ids[: len(prompt)] != prompt or len(ids) == len(prompt))
    at = next((i for i, (a, b) in enumerate(zip(prompt, whole, strict=False)) if a != b), len(prompt) - 1)
    merged = tokenizer.convert_ids_to_tokens(whole[max(at, 0) : at + 1])
    return "the prompt's tokens are not a prefix of those of prompt and response", (
        f"at token {at} the response merges with the prompt into {merged}; end the prompt at a token boundary "
        "or drop such examples with on_boundary='drop'"
    )
