"""Comparison of a saved checkpoint, loaded as users load it, with the model in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from trainers.tokens.loading import PROBE, load_tokenizer

TOLERANCE = 0.01
"""Largest difference that rounding explains, in nats per token; a reward model's is in units of its reward."""

ROWS, LENGTH = 4, 16
"""Shape of the token ids that both models read."""


def probe(model: Any) -> Tensor:
    """What a model says to a few fixed rows of token ids.

    Returns
    -------
    Tensor of float32, on the CPU
        Log-probability of every token but the first of each row, shape (rows, length − 1), for a causal language model;
        the rewards, shape (rows, 1), for a sequence classifier.
    """
    config = model.config.get_text_config()
    length = min(LENGTH, getattr(config, "max_position_embeddings", None) or LENGTH)
    drawn = np.random.default_rng(0).integers(0, config.vocab_size, (ROWS, length))
    ids = torch.from_numpy(drawn).to(next(model.parameters()).device)
    with torch.no_grad():
        logits: Tensor = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits.float()
    if logits.ndim == 2:
        return logits.cpu()
    return logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].cpu()


def saved_difference(folder: Path, expected: Tensor, tokenizer: Any) -> float:
    """Largest difference between what the checkpoint in `folder` says and `expected`, which `probe` gave.

    Raises
    ------
    ValueError
        If the saved tokenizer gives other tokens than `tokenizer`.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    if load_tokenizer(folder)(PROBE)["input_ids"] != tokenizer(PROBE)["input_ids"]:
        raise ValueError("the saved tokenizer gives other tokens than the one that the model was trained with")
    is_classifier = expected.shape[1] == 1
    kind = AutoModelForSequenceClassification if is_classifier else AutoModelForCausalLM
    loaded: nn.Module = kind.from_pretrained(folder).eval()
    return float((probe(loaded) - expected).abs().max())
