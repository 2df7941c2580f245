"""A tokenizer, a base and pairs shared by the trainer's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import transformers

from tests.paths import SHARED
from tests.trainers.toy import MODEL, WORDS, make_corpus, make_pairs
from trainers.config import TrainConfig
from trainers.data.tokenizer import bpe_tokenizer, word_tokenizer
from trainers.pretrain import pretrain

transformers.logging.disable_progress_bar()


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer(tmp_path_factory):
    words = [*WORDS, *(f" {word}" for word in WORDS)]
    return word_tokenizer(words, tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def tiny_bpe(tmp_path_factory):
    texts = [d.prompt + d.response for d in make_corpus(50)] + ["Hello there, how are you? I'm fine — thanks!"]
    return bpe_tokenizer(texts, 320, tmp_path_factory.mktemp("bpe"))


@pytest.fixture(scope="session")
def pairs():
    return make_pairs(40)


@pytest.fixture(scope="session")
def base(tmp_path_factory, tokenizer) -> Path:
    """A language model that has seen a little text."""
    out = tmp_path_factory.mktemp("base") / "checkpoint"
    config = TrainConfig(learning_rate=1e-2, batch_size=16, optimizer="adamw", warmup_steps=2, epochs=2)
    pretrain(make_corpus(200), tokenizer, MODEL, config, out)
    return out


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = SHARED
    if not folder.is_dir():
        pytest.skip(f"the shared test data is not at {folder}")
    return folder
