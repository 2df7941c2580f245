"""Sampling of responses that depend on the policy and the given uniform numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, LogitsProcessor

from trainers.tokens.template import end_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


class _Generating(Protocol):
    """The method `generate` that transformers and PEFT give their models."""

    def generate(
        self,
        *,
        input_ids: Tensor,
        attention_mask: Tensor,
        generation_config: GenerationConfig,
        logits_processor: list[LogitsProcessor],
    ) -> Tensor: ...


class Inversion(LogitsProcessor):
    """Leaves only the token at each row's next uniform number of the distribution function, for greedy decoding.

    The sample of a row therefore depends neither on the rest of its batch nor on a global generator.

    Parameters
    ----------
    uniforms : Tensor of float64, shape (B, T)
    prompt : int
        Width of the prompts, padding included.

    Examples
    --------
    >>> draw = Inversion(torch.tensor([[0.1], [0.9]]).double(), prompt=1)
    >>> draw(torch.zeros(2, 1), torch.zeros(2, 4)).argmax(-1).tolist()
    [0, 3]
    """

    def __init__(self, uniforms: Tensor, prompt: int) -> None:
        self.uniforms, self.prompt = uniforms, prompt

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        cumulative = scores.double().softmax(-1).cumsum(-1)
        u = self.uniforms[:, input_ids.shape[1] - self.prompt, None]
        token = torch.searchsorted(cumulative, u * cumulative[:, -1:], right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)


def sample(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerFast,
    prompts: Sequence[Sequence[int]],
    uniforms: np.ndarray,
    context: int,
    batch_tokens: int,
) -> list[list[list[int]]]:
    """Sample G responses to each of N prompts, at temperature 1.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    prompts : sequence of sequences of int
        Their tokens.
    uniforms : ndarray, shape (N, G, T)
        A number in [0, 1) for every token; T is the longest response.
    context : int
        Tokens that a prompt and its response may have together.
    batch_tokens : int
        Tokens at a time; which, but for rounding, changes nothing.

    Returns
    -------
    list of lists of lists of int
        For each prompt its responses' tokens. One that ended has one of `trainers.tokens.template.end_tokens` at its
        end.
    """
    n, samples, longest = uniforms.shape
    ends = end_tokens(tokenizer)
    drawn: list[list[list[int]]] = [[[] for _ in range(samples)] for _ in range(n)]
    # Rows that may grow equally long, short prompts first.
    room = [min(longest, context - len(prompt)) for prompt in prompts]
    order = sorted(range(n), key=lambda i: (-room[i], len(prompts[i])))
    for limit, members in groupby(order, key=room.__getitem__):
        rows = [(i, k) for i in members for k in range(samples)]
        size = max(1, batch_tokens // (len(prompts[rows[-1][0]]) + limit))
        for start in range(0, len(rows), size):
            batch = rows[start : start + size]
            numbers = np.stack([uniforms[row][:limit] for row in batch])
            ids = _batch(model, tokenizer, [prompts[i] for i, _ in batch], numbers)
            for (i, k), response in zip(batch, ids, strict=True):
                drawn[i][k] = _until_end(response, ends)
    return drawn


def _batch(
    model: nn.Module, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[Sequence[int]], uniforms: np.ndarray
) -> list[list[int]]:
    device = next(model.parameters()).device
    width = max(map(len, prompts))
    pad = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(p)) + list(p) for p in prompts], device=device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=device)
    # Settings that the checkpoint's own generation config could change are stated here.
    config = GenerationConfig(
        do_sample=False, num_beams=1, max_new_tokens=uniforms.shape[1], repetition_penalty=1.0, use_cache=True,
        eos_token_id=sorted(end_tokens(tokenizer)), pad_token_id=pad,
    )  # fmt: skip
    draw = Inversion(torch.from_numpy(uniforms).to(device), width)
    with torch.no_grad():
        out = cast(_Generating, model).generate(
            input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=[draw]
        )
    responses: list[list[int]] = out[:, width:].tolist()
    return responses


def _until_end(ids: list[int], ends: frozenset[int]) -> list[int]:
    behind = next((at for at, token in enumerate(ids, start=1) if token in ends), len(ids))
    return ids[:behind]
