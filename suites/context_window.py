"""How many tokens an encoder or classifier can take."""

from __future__ import annotations


def window(tokenizer, config) -> int:
    """The smaller of the tokenizer's and the model's limit; RoBERTa's first two position rows are not positions.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> endless = SimpleNamespace(model_max_length=int(1e30))
    >>> window(endless, SimpleNamespace(model_type="roberta", max_position_embeddings=514))
    512
    """
    reserved = 2 if "roberta" in config.model_type else 0
    return min(tokenizer.model_max_length, config.max_position_embeddings - reserved)
