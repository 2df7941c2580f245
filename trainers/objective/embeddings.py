"""One vector for each text: mean hidden states of the policy's base or of a sentence-embedding model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from trainers.config import TrainConfig
from trainers.data.encoded import Encoded
from trainers.model.causal_lm import decoder_and_head
from trainers.model.precision import precision
from trainers.tokens.loading import load_tokenizer


def prompt_embeddings(model: nn.Module, encoded: Encoded, config: TrainConfig) -> np.ndarray:
    """Mean of a causal language model's last hidden states over each prompt, shape (N, H), float32."""
    prompts = [encoded.tokens[start : start + length].tolist() for start, length in encoded.prompts]
    return mean_states(decoder_and_head(model)[0], prompts, config)


def sentence_embeddings(source: str, texts: Sequence[str], config: TrainConfig) -> np.ndarray:
    """The same of a named encoder, as sentence-transformers' mean pooling has it; long texts lose their end.

    Parameters
    ----------
    source : str
        A folder or hub id that ``AutoModel`` loads, such as
        ``sentence-transformers/all-MiniLM-L6-v2``.

    Raises
    ------
    ValueError
        Naming the source, if there is no such model.
    """
    from transformers import AutoModel

    try:
        tokenizer = load_tokenizer(source)
        model = AutoModel.from_pretrained(source, dtype=torch.float32).to(config.device).eval()
    except (OSError, ValueError) as fault:
        raise ValueError(f"encoder {source} is neither a folder nor a model that the hub gives: {fault}") from fault
    limit = min(tokenizer.model_max_length, getattr(model.config, "max_position_embeddings", None) or 1 << 30)
    return mean_states(model, tokenizer(list(texts), truncation=True, max_length=limit).input_ids, config)


def mean_states(model: nn.Module, sequences: Sequence[Sequence[int]], config: TrainConfig) -> np.ndarray:
    """Mean last hidden state of each sequence of tokens, shape (N, H), float32; equal sequences are run once."""
    order = sorted(dict.fromkeys(map(tuple, sequences)), key=len)
    mean_of: dict[tuple[int, ...], np.ndarray] = {}
    start = 0
    while start < len(order):
        # As many of like length as fit, counted by the longest, which comes last.
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(order[end]) <= config.micro_batch_tokens:
            end += 1
        batch = order[start:end]
        width = len(batch[-1])
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in batch], device=config.device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in batch], device=config.device)
        with torch.no_grad(), precision(config):
            states = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        means = (states * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
        mean_of |= dict(zip(batch, means.cpu().numpy(), strict=True))
        start = end
    return np.stack([mean_of[tuple(ids)] for ids in sequences])
