"""Extension of a checkpoint's word-level vocabulary."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path

import torch

from trainers.data.tokenizer import PIECE, load_tokenizer
from trainers.model.causal_lm import causal_lm
from trainers.model.loading import load
from trainers.optim.checkpoint import model_card, save_model


def extend(checkpoint: str | Path, texts: Iterable[str], out: str | Path) -> Path:
    """Copy a model with a word-level tokenizer and add the pieces of some texts to its vocabulary.

    A new piece begins with the embeddings of the unknown word, which pretraining has made improbable: the copy gives
    every other text almost the probability that the original gives it. Other pieces keep their numbers.

    Parameters
    ----------
    checkpoint : path
    texts : iterable of str
        Pieces that are known already are left alone.
    out : path
        Folder for the copy.

    Raises
    ------
    ValueError
        If the tokenizer is not word-level; others can encode every text already.
    """
    model, tokenizer = load(checkpoint), load_tokenizer(checkpoint)
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    if described["model"]["type"] != "WordLevel":
        raise ValueError(f"{checkpoint}: its tokenizer is {described['model']['type']}, not word-level")
    vocabulary = described["model"]["vocab"]
    for piece in sorted({piece for text in texts for piece in re.findall(PIECE, text)} - set(vocabulary)):
        vocabulary[piece] = len(vocabulary)
    causal = causal_lm(model)
    embedded = causal.get_input_embeddings().num_embeddings
    causal.resize_token_embeddings(len(vocabulary), mean_resizing=False)
    with torch.no_grad():
        for table in (causal.get_input_embeddings().weight, causal.get_output_embeddings().weight):
            table[embedded:] = table[tokenizer.unk_token_id]
    folder = save_model(Path(out), model, tokenizer, model_card("Base with more words", {"base": str(checkpoint)}))
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    return folder
