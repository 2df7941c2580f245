"""Prompt embeddings as plain means of hidden states."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoModel, BertConfig, BertModel

from tests.trainers.toy import MODEL
from trainers.align import align
from trainers.config import LoraConfig, TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.methods import create
from trainers.model.loading import adapt, load
from trainers.objective.embeddings import prompt_embeddings, sentence_embeddings

CONFIG = TrainConfig(learning_rate=1e-2, batch_size=8, warmup_steps=2, max_steps=2)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, tokenizer):
    """A sentence-embedding model in miniature: a bidirectional encoder with the toy's words."""
    folder = tmp_path_factory.mktemp("encoder")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(tokenizer), hidden_size=24, num_hidden_layers=1, num_attention_heads=2,
            intermediate_size=32, max_position_embeddings=8,
        )  # fmt: skip
        BertModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def mean_of(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0).numpy()


@pytest.mark.parametrize("budget", [1, 40, 10_000])
def test_the_bases_own_mean_state(base, pairs, tokenizer, budget):
    model = load(base)
    encoded = encode_pairs(pairs, tokenizer, Limits(64))
    pooled = prompt_embeddings(model, encoded, TrainConfig(micro_batch_tokens=budget))
    by_hand = [mean_of(model.model, encoded.tokens[s : s + n].tolist()) for s, n in encoded.prompts]
    np.testing.assert_allclose(pooled, by_hand, atol=1e-5)
    adapted = adapt(load(base), LoraConfig(rank=2), seed=0).eval()
    np.testing.assert_allclose(prompt_embeddings(adapted, encoded, CONFIG), by_hand, atol=1e-5)


def test_a_named_encoder(encoder, tokenizer):
    """Padding does not count, equal texts are equal, and a text longer than the encoder loses its end."""
    texts = ["w1 w2 w3", "w4", "w1 w2 w3", " ".join(["w5"] * 30)]
    pooled = sentence_embeddings(encoder, texts, CONFIG)
    model = AutoModel.from_pretrained(encoder).eval()
    by_hand = [mean_of(model, tokenizer(text, truncation=True, max_length=8).input_ids) for text in texts]
    np.testing.assert_allclose(pooled, by_hand, atol=1e-5)
    assert pooled.shape == (4, 24) and np.array_equal(pooled[0], pooled[2])


def test_rpo_takes_its_weights_from_either(base, pairs, encoder, tmp_path):
    weights = [
        [value for _, name, value in align(method, base, pairs, CONFIG, tmp_path / str(i)).curve if "weight" in name]
        for i, method in enumerate((create("rpo"), create("rpo", encoder=encoder)))
    ]
    assert weights[0] != weights[1]
    assert MODEL.hidden != 24


def test_an_encoder_that_is_not_there_is_named(base, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="encoder no/such-model is neither a folder nor a model"):
        align(create("rpo", encoder="no/such-model"), base, pairs, CONFIG, tmp_path / "out")
