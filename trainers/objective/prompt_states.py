"""Hidden states of a base at the last token of every distinct prompt: the input of a value head V(x)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_preferences
from trainers.data.records import Example, Pair, ResponseGroup, read_preferences
from trainers.data.tokenizer import load_tokenizer
from trainers.files import replacing
from trainers.model.causal_lm import decoder_and_head
from trainers.model.loading import context_length, layout_for, load, weights_hash
from trainers.model.precision import precision


@dataclass(frozen=True)
class Prompts:
    """The distinct prompts of a data set, in the order in which they first appear.

    Parameters
    ----------
    tokens : list of ndarray
        Tokens of each of U prompts.
    keys : list of str
        Hashes of the tokens, by which stored states are found.
    of_example : ndarray of int64, shape (N,)
        Number of every example's prompt.
    """

    tokens: list[np.ndarray]
    keys: list[str]
    of_example: np.ndarray

    @classmethod
    def of(cls, encoded: Encoded) -> Prompts:
        """The prompts of encoded examples."""
        numbers: dict[str, int] = {}
        tokens: list[np.ndarray] = []
        of_example = np.empty(len(encoded), np.int64)
        for example, (start, length) in enumerate(encoded.prompts.tolist()):
            prompt = encoded.tokens[start : start + length]
            key = hashlib.sha256(prompt.tobytes()).hexdigest()[:32]
            of_example[example] = numbers.setdefault(key, len(numbers))
            if len(numbers) > len(tokens):
                tokens.append(prompt)
        return cls(tokens, list(numbers), of_example)


def last_states(model: nn.Module, prompts: Sequence[np.ndarray], config: TrainConfig) -> np.ndarray:
    """The decoder's last hidden state at the last token of each prompt, shape (U, H), float32.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    prompts : sequence of ndarray
        Their tokens.
    config : TrainConfig
        Its precision, device and micro-batch size are used.
    """
    decoder, _ = decoder_and_head(model)
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    parts: list[np.ndarray] = []
    start = 0
    while start < len(order):
        # As many of like length as fit, counted by the longest, which comes last.
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(prompts[order[end]]) <= config.micro_batch_tokens:
            end += 1
        batch = [prompts[number] for number in order[start:end]]
        lengths = np.array([len(prompt) for prompt in batch])
        ids = np.zeros((len(batch), lengths.max()), np.int64)
        for row, prompt in enumerate(batch):
            ids[row, : len(prompt)] = prompt
        mask = np.arange(ids.shape[1]) < lengths[:, None]
        with torch.no_grad(), precision(config):
            states = decoder(
                input_ids=torch.from_numpy(ids).to(config.device),
                attention_mask=torch.from_numpy(mask.astype(np.int64)).to(config.device),
                use_cache=False,
            ).last_hidden_state
        parts.append(states[torch.arange(len(batch)), torch.from_numpy(lengths - 1)].float().cpu().numpy())
        start = end
    inverse = np.argsort(np.array(order))
    return np.asarray(np.concatenate(parts)[inverse], np.float32)


def write_prompt_states(
    checkpoint: str | Path,
    data: str | Path | Sequence[Pair] | Sequence[Example] | Sequence[ResponseGroup],
    config: TrainConfig,
    out: str | Path,
) -> Path:
    """Compute the states of a data set's prompts under a base and store them.

    Parameters
    ----------
    checkpoint : path or hub id
        The base that policies start from.
    data : path, hub id or records
    config : TrainConfig
        Only what decides the numbers is used: limits, precision, device, micro-batch size.
    out : path
        A safetensors file with ``states``, shape (U, H), float32. Its metadata holds the base's hash, the precision
        and a key of every prompt's tokens.
    """
    from safetensors.numpy import save_file

    records = read_preferences(data) if isinstance(data, str | Path) else data
    model, tokenizer = load(checkpoint, config.device), load_tokenizer(checkpoint)
    limits = Limits.of(config, context_length(model))
    base_responses = all(getattr(record, "base_response", None) is not None for record in records)
    encoded = encode_preferences(records, tokenizer, limits, base_responses)
    layout_for(model, encoded.longest(), config.micro_batch_tokens)  # switches the model's attention as training does
    prompts = Prompts.of(encoded)
    about = {"weights": weights_hash(model), "dtype": config.dtype, "prompts": ",".join(prompts.keys)}
    out = Path(out)
    with replacing(out) as temporary:
        save_file({"states": last_states(model, prompts.tokens, config)}, temporary, metadata=about)
    return out


def read_prompt_states(file: str | Path, prompts: Prompts, origin: str | None, config: TrainConfig) -> np.ndarray:
    """Stored states of prompts, shape (U, H).

    Parameters
    ----------
    origin : str or None
        Hash of the base's weights; None where the base is loaded in fewer bits than the states were computed in.

    Raises
    ------
    ValueError
        If the file was made with another base, in another precision, or lacks a prompt.
    """
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as stored:
        about, states = stored.metadata() or {}, stored.get_tensor("states")
    if origin is not None and about.get("weights") != origin:
        raise ValueError(f"{file} holds prompt states of another base: its weights differ")
    if about.get("dtype") != config.dtype:
        raise ValueError(f"{file} was computed in {about.get('dtype')}, this run uses {config.dtype}")
    rows = {key: row for row, key in enumerate(about["prompts"].split(","))}
    if missing := [key for key in prompts.keys if key not in rows]:
        raise ValueError(f"{file} lacks {len(missing)} prompts: data, tokenizer, chat template or truncation differ")
    return np.asarray(states[[rows[key] for key in prompts.keys]], np.float32)
