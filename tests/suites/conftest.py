"""Tiny real models for the suites' tests, and a closed network."""

from __future__ import annotations

import os
import random
import socket

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")

import pytest

WORDS = [f"w{i}" for i in range(60)]


@pytest.fixture(autouse=True)
def closed_network(monkeypatch):
    """No test of a suite may open a connection."""

    def refuse(self, address):
        raise AssertionError(f"a suite tried to connect to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket.socket, "connect_ex", refuse)


@pytest.fixture(scope="session")
def word_tokenizer():
    """One token per word; puts BOS in front by itself."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: i for i, token in enumerate(["<pad>", "<s>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


@pytest.fixture(scope="session")
def tiny_llama():
    """A Llama with random weights, large enough to make its choices far from uniform."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=4 + len(WORDS),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=48,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
        initializer_range=0.3,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory, tiny_llama, word_tokenizer):
    """The two above as a checkpoint folder."""
    folder = tmp_path_factory.mktemp("llama")
    tiny_llama.save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def reward_folder(tmp_path_factory, word_tokenizer):
    """A reward model with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=len(word_tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=48,
        num_labels=1,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        initializer_range=0.3,
    )
    folder = tmp_path_factory.mktemp("reward")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        LlamaForSequenceClassification(config).save_pretrained(folder)
    word_tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def prompts():
    """Prompts of 1 to 12 words, by id."""
    rng = random.Random(0)
    return {f"p{i}": " ".join(rng.choices(WORDS, k=1 + i % 12)) for i in range(40)}


@pytest.fixture(scope="session")
def labelled():
    """Texts whose labels are plain: some words are toxic, some of those insulting."""
    rng = random.Random(0)
    toxic = {"idiot": (1, 1), "moron": (1, 1), "hate": (1, 0), "stupid": (1, 0)}
    texts, labels = [], []
    for i in range(1600):
        words = rng.choices(WORDS, k=rng.randint(5, 15))
        bad = rng.choice(list(toxic)) if i % 2 else None
        if bad:
            words.insert(rng.randrange(len(words)), bad)
        texts.append(" ".join(words))
        labels.append(toxic.get(bad, (0, 0)))
    return texts, labels, ["toxic", "insult"]


@pytest.fixture(scope="session")
def toxicity_checkpoint(tmp_path_factory, labelled):
    """A checkpoint in Detoxify's format, trained on `labelled`."""
    from suites.toxicity.classifier import ClassifierConfig, train_toxicity

    out = tmp_path_factory.mktemp("toxicity") / "model"
    quality = train_toxicity(*labelled, out, ClassifierConfig(hidden=32, epochs=6, window=32, learning_rate=4e-3))
    assert quality["auc_max"] > 0.99
    return out
