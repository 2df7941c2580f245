"""Features of responses: hidden states of a frozen language model at a response's last token, standardised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import DataError, Pair
from trainers.model.loading import context_length, hidden_size, layout_for
from trainers.model.response_logprobs import passes


def encode_whole(pairs: Sequence[Pair], tokenizer: object, context: int) -> Encoded:
    """Pairs as tokens, none of which may be cut: a cut response is another one.

    Raises
    ------
    DataError
        Naming the first pair that exceeds the context.
    """
    encoded = encode_pairs(pairs, tokenizer, Limits(context))
    if encoded.counts["responses_truncated"]:
        number = int(np.argmin(encoded.complete.all(axis=1)))
        size = int(encoded.prompts[number, 1])
        raise DataError(f"pair {encoded.ids[number]}", f"longer than the context of {context} tokens", f"prompt {size}")
    return encoded


def last_states(model: nn.Module, encoded: Encoded, config: TrainConfig) -> np.ndarray:
    """Last hidden state at every response's last token before its end, shape (N, K, H), float32."""
    layout = layout_for(model, encoded.longest(), config.micro_batch_tokens)
    n, k = encoded.lengths.shape
    states: list[np.ndarray | None] = [None] * n
    for members, scored in passes(model, encoded, layout, config):
        ends = encoded.lengths[members].reshape(-1).cumsum() - 1
        rows = scored.token_hidden[ends.tolist()].float().cpu().numpy()
        for member, row in zip(members, rows.reshape(len(members), k, -1), strict=True):
            states[member] = row
    return np.stack([row for row in states if row is not None])


def pair_states(model: nn.Module, tokenizer: object, pairs: Sequence[Pair], device: str = "cpu") -> np.ndarray:
    """`last_states` of the chosen and the rejected response of each pair, shape (N, 2, H); N may be 0."""
    if not pairs:
        return np.zeros((0, 2, hidden_size(model)), np.float32)
    return last_states(model, encode_whole(pairs, tokenizer, context_length(model)), TrainConfig(device=device))


@dataclass(frozen=True, eq=False)
class Standardisation:
    """Mean and standard deviation of features, each of shape (d,).

    Examples
    --------
    >>> Standardisation.of(np.array([[1.0, 5.0], [3.0, 5.0]]))(np.array([[3.0, 5.0]])).tolist()
    [[1.0, 0.0]]
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Standardisation:
        """Of features of shape (..., d); a constant feature keeps its scale."""
        flat = features.reshape(-1, features.shape[-1]).astype(np.float64)
        scale = flat.std(axis=0)
        return cls(flat.mean(axis=0), np.where(scale > 0, scale, 1.0))

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """The features with mean 0 and variance 1 on the data that it was taken from."""
        standardised: np.ndarray = (features - self.mean) / self.scale
        return standardised
