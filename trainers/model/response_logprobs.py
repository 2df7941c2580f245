"""Log-probabilities of given responses: for references, health figures and exact evaluation."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode
from trainers.data.records import DataError
from trainers.data.tokenizer import load_tokenizer
from trainers.model.loading import context_length, layout_for, load
from trainers.model.logprobs import Scored, score
from trainers.model.packing import Layout, example_sizes, plan
from trainers.model.precision import precision
from trainers.model.prefix_tree import PrefixTrees
from trainers.model.rows import lay_out

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def score_all(model: nn.Module, encoded: Encoded, layout: Layout, config: TrainConfig) -> np.ndarray:
    """SUM log-probabilities of all responses of all examples, shape (N, K), float32, without gradients."""
    logps = np.empty(encoded.lengths.shape, np.float32)
    for members, scored in passes(model, encoded, layout, config):
        logps[members] = scored.logps.view(len(members), -1).cpu().numpy()
    return logps


def score_tokens(
    model: nn.Module, encoded: Encoded, layout: Layout, config: TrainConfig
) -> tuple[np.ndarray, np.ndarray]:
    """`score_all`, and every response token's own log-probability, float32, at its place in ``encoded.tokens``."""
    logps = np.empty(encoded.lengths.shape, np.float32)
    tokens = np.zeros(len(encoded.tokens), np.float32)
    for members, scored in passes(model, encoded, layout, config):
        logps[members] = scored.logps.view(len(members), -1).cpu().numpy()
        places, inside = encoded.positions(members)
        tokens[places[inside]] = scored.token_logps.view(places.shape).cpu().numpy()[inside]
    return logps, tokens


def passes(
    model: nn.Module, encoded: Encoded, layout: Layout, config: TrainConfig
) -> Iterator[tuple[np.ndarray, Scored]]:
    """Forward passes over all examples: the numbers of the examples, and their scores."""
    k = encoded.lengths.shape[1]
    sizes = example_sizes(encoded, layout)
    # Examples of like size together, and enough of them for the packing to have a choice.
    order = np.argsort(sizes, kind="stable")
    window = max(1, 8 * layout.micro_batch_tokens // max(1, int(sizes.mean()) * (1 if layout.shared else k)))
    for start in range(0, len(order), window):
        items = order[start : start + window]
        for rows in plan(sizes[items], layout, 1 if layout.shared else k):
            laid = lay_out(encoded, [items[row].tolist() for row in rows], layout).to(config.device)
            with torch.no_grad(), precision(config):
                scored = score(model, laid)
            yield items[np.concatenate(rows)], scored


@dataclass(frozen=True)
class ResponseSet:
    """Prompts with any number of responses each, tokenised once for all models that share a tokenizer.

    Parameters
    ----------
    encoded : Encoded
        One example for every response.
    counts : tuple of int
        How many responses each prompt has; they lie one after the other.
    """

    encoded: Encoded
    counts: tuple[int, ...]

    @classmethod
    def encode(
        cls, tokenizer: PreTrainedTokenizerFast, prompts: Sequence[str], responses: Sequence[Sequence[str]]
    ) -> ResponseSet:
        """Tokenise ``prompt + response`` for every response of every prompt."""
        if len(prompts) != len(responses):
            raise ValueError(f"{len(prompts)} prompts but responses for {len(responses)}")
        counts = tuple(len(row) for row in responses)
        flat = [[response] for row in responses for response in row]
        ids = [f"prompt {prompt}, response {k}" for prompt, row in enumerate(responses) for k in range(len(row))]
        repeated = [prompt for prompt, count in zip(prompts, counts, strict=True) for _ in range(count)]
        return cls(encode(ids, repeated, flat, ("response",), tokenizer, Limits(sys.maxsize)), counts)

    def logps(
        self,
        checkpoint: str | Path,
        *,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: str = "cpu",
        micro_batch_tokens: int = 2048,
    ) -> list[np.ndarray]:
        """log π(response, end of sequence | prompt): for each prompt an array of its responses', in nats.

        Raises
        ------
        DataError
            If a response does not fit the model's context, since its probability would be that of a part.
        """
        config = TrainConfig(dtype=dtype, device=device, micro_batch_tokens=micro_batch_tokens)
        model = load(checkpoint, device)
        totals = self.encoded.prompts[:, 1] + self.encoded.lengths[:, 0]
        if totals.max() > context_length(model):
            raise DataError(self.encoded.ids[int(totals.argmax())], "response longer than the context")
        layout = layout_for(model, int(totals.max()), micro_batch_tokens)
        if layout.shared:
            with torch.no_grad(), precision(config):
                logps = self._trees.score(model, device)
        else:
            logps = score_all(model, self.encoded, layout, config)[:, 0]
        return np.split(logps.astype(np.float64), np.cumsum(self.counts)[:-1])

    @cached_property
    def _trees(self) -> PrefixTrees:
        firsts = np.cumsum([0, *self.counts[:-1]])
        flat = [self._cut(start, size) for start, size in self.encoded.responses[:, 0]]
        prompts = [
            self._cut(*self.encoded.prompts[first]) if count else []
            for first, count in zip(firsts, self.counts, strict=True)
        ]
        return PrefixTrees.of(
            prompts, [flat[first : first + count] for first, count in zip(firsts, self.counts, strict=True)]
        )

    def _cut(self, start: int, size: int) -> list[int]:
        tokens: list[int] = self.encoded.tokens[start : start + size].tolist()
        return tokens


def response_logps(
    checkpoint: str | Path, prompts: Sequence[str], responses: Sequence[Sequence[str]], **options: Any
) -> list[np.ndarray]:
    """log π(response, end of sequence | prompt) for any number of responses to each prompt.

    Parameters
    ----------
    checkpoint : path or str
        A Hugging Face folder or hub id.
    prompts : sequence of str
    responses : sequence of sequences of str
        As many as wanted for each prompt; they share it in one row.
    **options
        Of `ResponseSet.logps`.

    Returns
    -------
    list of ndarray of float64
        For each prompt the SUM log-probabilities of its responses, in nats; their exponentials sum to
        the probability that the model gives to this set of responses.
    """
    return ResponseSet.encode(load_tokenizer(checkpoint), prompts, responses).logps(checkpoint, **options)
