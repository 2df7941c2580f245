"""Linear combinations of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from trainers.data.tokenizer import load_tokenizer
from trainers.model.loading import load
from trainers.optim.checkpoint import model_card, save_model


def combine(checkpoints: Sequence[str | Path], weights: Sequence[float], out: str | Path) -> Path:
    r"""Write the model with weights :math:`\theta = \sum_i w_i \theta_i`, added up in float32.

    A checkpoint holds merged weights, adapters included, so policies trained with LoRA combine like others. Tied
    weights are one tensor, and stay so.

    Parameters
    ----------
    checkpoints : sequence of paths or hub ids
        Models of one architecture with one vocabulary.
    weights : sequence of float
        Of any sign; they add up to 1.
    out : path
        Folder for the combined checkpoint, with the first one's tokenizer.

    Raises
    ------
    ValueError
        If the weights do not add up to 1, or tensors or vocabularies differ.
    """
    if len(checkpoints) != len(weights) or abs(sum(weights) - 1) > 1e-6:
        raise ValueError(f"{len(checkpoints)} checkpoints need as many weights that add up to 1, not {list(weights)}")
    tokenizers = [load_tokenizer(checkpoint) for checkpoint in checkpoints]
    for checkpoint, tokenizer in zip(checkpoints, tokenizers, strict=True):
        if tokenizer.get_vocab() != tokenizers[0].get_vocab():
            raise ValueError(f"{checkpoint} has another vocabulary than {checkpoints[0]}")
    models = [load(checkpoint) for checkpoint in checkpoints]
    parts = [dict(model.named_parameters()) for model in models]
    for checkpoint, part in zip(checkpoints, parts, strict=True):
        if {n: t.shape for n, t in part.items()} != {n: t.shape for n, t in parts[0].items()}:
            raise ValueError(f"{checkpoint} has other tensors than {checkpoints[0]}")
    with torch.no_grad():
        for name, target in parts[0].items():
            # Terms of weight 0 are left out, so that an end of the line is an ingredient to the bit.
            terms = [weight * part[name] for weight, part in zip(weights, parts, strict=True) if weight]
            target.copy_(sum(terms[1:], start=terms[0]))
    facts = {str(checkpoint): weight for checkpoint, weight in zip(checkpoints, weights, strict=True)}
    return save_model(Path(out), models[0], tokenizers[0], model_card("Combined policy", facts))
