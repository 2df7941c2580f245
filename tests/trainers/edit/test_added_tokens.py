"""New words beside the old ones: numbers, probabilities and round trips."""

from __future__ import annotations

import pytest
import torch

from tests.trainers.toy import MODEL
from trainers.data.tokenizer import bpe_tokenizer, load_tokenizer, word_tokenizer
from trainers.edit.added_tokens import extend
from trainers.model.loading import load, make
from trainers.optim.checkpoint import save_model

TAGS = (" <|good|>", " -0 1.3")


@pytest.fixture
def base(tmp_path):
    tokenizer = word_tokenizer(["how are you ?", " well , thank you ."], tmp_path / "words")
    return save_model(tmp_path / "base", make(MODEL, tokenizer, seed=0), tokenizer, "toy")


def test_old_pieces_keep_their_numbers_and_new_ones_are_read_back(base, tmp_path):
    before, after = load_tokenizer(base), load_tokenizer(extend(base, TAGS, tmp_path / "more"))
    assert before.get_vocab().items() < after.get_vocab().items()
    for text in (" well , you <|good|>", "how are you ? -0 1.3"):
        ids = after(text, add_special_tokens=False).input_ids
        assert after.unk_token_id not in ids and after.decode(ids) == text


def test_old_words_keep_their_odds_and_new_ones_are_as_likely_as_the_unknown_word(base, tmp_path):
    old, new = load(base), load(extend(base, TAGS, tmp_path / "more"))
    tokenizer = load_tokenizer(base)
    ids = torch.tensor([tokenizer("how are you ?").input_ids])
    with torch.no_grad():
        before, after = old(ids).logits, new(ids).logits
    old_size = before.shape[-1]
    assert torch.equal(after[..., :old_size], before)
    assert torch.equal(after[..., old_size:], before[..., [tokenizer.unk_token_id]].expand_as(after[..., old_size:]))


def test_a_tokenizer_that_knows_every_text_is_refused(tmp_path):
    tokenizer = bpe_tokenizer(["a banana"] * 4, 264, tmp_path / "bytes")
    base = save_model(tmp_path / "base", make(MODEL, tokenizer, seed=0), tokenizer, "toy")
    with pytest.raises(ValueError, match="BPE, not word-level"):
        extend(base, TAGS, tmp_path / "more")
