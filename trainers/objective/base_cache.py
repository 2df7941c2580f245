"""Quantities that policies from one base share: the encoded data, the layout, the log-probabilities at the start."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from trainers.config import LoraConfig, TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_preferences
from trainers.data.records import Example, Pair, ResponseGroup, read_preferences
from trainers.data.tokenizer import load_tokenizer
from trainers.model.loading import compute_in, context_length, layout_for, load, weights_hash
from trainers.model.packing import Layout
from trainers.model.response_logprobs import score_all

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Records = Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup]
"""Training records of one kind."""

WATCHED = 512
"""Training examples on which a policy's displacement is measured."""


@dataclass(frozen=True)
class BaseCache:
    """A data set as one base encodes and scores it: the same for every policy that starts there.

    Parameters
    ----------
    records : sequence of Pair, of Example or of ResponseGroup
    origin : str
        Hash of the base's weights.
    encoded : Encoded
    layout : Layout
        Layout of the base's batches.
    watched : ndarray of int64
        Examples on which displacement is measured.
    start : ndarray, shape (W, K)
        Their log-probabilities under the base, nats.
    """

    records: Records
    origin: str
    encoded: Encoded
    layout: Layout
    watched: np.ndarray
    start: np.ndarray

    @classmethod
    def from_base(
        cls, base: str | Path, data: str | Path | Records, config: TrainConfig, base_responses: bool
    ) -> BaseCache:
        """Encode the data and score the watched examples."""
        records = read_preferences(data) if isinstance(data, str | Path) else data
        policy = load(base, config.device, weight_bits(config))
        return cls.from_model(policy, weights_hash(policy), load_tokenizer(base), records, config, base_responses)

    @classmethod
    def from_model(
        cls,
        policy: nn.Module,
        origin: str,
        tokenizer: PreTrainedTokenizerFast,
        records: Records,
        config: TrainConfig,
        base_responses: bool,
    ) -> BaseCache:
        """The same with the untouched policy, which is loaded already."""
        encoded = encode_preferences(records, tokenizer, Limits.of(config, context_length(policy)), base_responses)
        layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
        compute_in(policy, config.dtype)
        watched = np.sort(np.random.default_rng(0).permutation(len(encoded))[:WATCHED])
        start = score_all(policy, encoded.take(watched), layout, config)
        return cls(records, origin, encoded, layout, watched, start)


def preparation(config: TrainConfig) -> TrainConfig:
    """The part of a config that `BaseCache` depends on, everything else at its default."""
    names = ("max_prompt_tokens", "max_tokens", "on_boundary", "dtype", "micro_batch_tokens", "device")
    quantised = LoraConfig(bits=weight_bits(config)) if weight_bits(config) else None
    return TrainConfig(**{name: getattr(config, name) for name in names}, lora=quantised)


def weight_bits(config: TrainConfig) -> int | None:
    """Bits of the base's frozen weights; None for float32."""
    return config.lora.bits if config.lora else None
