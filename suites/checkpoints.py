"""Checkpoints as every suite loads them: model, tokenizer, token ids, context window and revision."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.tokens import loading
from trainers.tokens.text import bos, encode_texts

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

WEIGHTS = (".safetensors", ".bin")


def load_tokenizer(checkpoint: Path | str) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint folder or hub id, as it was saved (see `trainers.tokens.loading`)."""
    tokenizer: PreTrainedTokenizerBase = loading.load_tokenizer(checkpoint)
    return tokenizer


def load_causal_lm(checkpoint: Path | str, device: str = "cpu") -> PreTrainedModel:
    """A causal language model in evaluation mode, from a checkpoint folder or hub id.

    Raises
    ------
    ValueError
        For a policy that needs a context of pairs.
    """
    from transformers import AutoModelForCausalLM

    loading.require_unsteered(checkpoint)
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(checkpoint)
    on_device(model, device)
    return model


def on_device(model: nn.Module, device: str) -> None:
    """Move a model and put it into evaluation mode, in place."""
    model.to(device).eval()


def token_ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    """Token ids of a text: no token in front or behind, and control tokens that the text spells out stay text."""
    return encode_texts(tokenizer, [text])[0]


def bos_ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The BOS token as a list of one where the tokenizer puts it in front by itself, an empty list otherwise."""
    return bos(tokenizer)


def window(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig) -> int:
    """The number of tokens that an encoder or classifier takes: the smaller of the tokenizer's and the model's limit.

    RoBERTa reserves its first two position embeddings.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> endless = SimpleNamespace(model_max_length=int(1e30))
    >>> window(endless, SimpleNamespace(model_type="roberta", max_position_embeddings=514))
    512
    """
    reserved = 2 if "roberta" in config.model_type else 0
    positions: int = config.max_position_embeddings - reserved
    return min(int(tokenizer.model_max_length), positions)


def revision_of(model: Path | str, config: PreTrainedConfig | None) -> str:
    """The hash of the weights for a folder, the hub's commit otherwise."""
    folder = Path(model)
    if not folder.is_dir():
        return getattr(config, "_commit_hash", None) or "unknown"
    digest = hashlib.sha256()
    for path in sorted(file for file in folder.iterdir() if file.suffix in WEIGHTS):
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: digest)  # piece by piece: a file may be larger than the memory
    return digest.hexdigest()[:16]


def require_one_vocabulary(tokenizers: Mapping[str, PreTrainedTokenizerBase]) -> PreTrainedTokenizerBase:
    """The first tokenizer of some roles; ValueError if another has a different vocabulary: its logits cannot be added."""
    first, *others = tokenizers
    for other in others:
        if tokenizers[other].get_vocab() != tokenizers[first].get_vocab():
            raise ValueError(f"policies {first!r} and {other!r} have different vocabularies, so they cannot be mixed")
    return tokenizers[first]
