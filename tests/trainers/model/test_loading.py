"""Models of many architectures: trained and saved unchanged in form, or refused in one line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from tests.trainers.toy import DPO, WORDS, make_pairs
from trainers.align import align
from trainers.config import TrainConfig
from trainers.data.tokenizer import load_tokenizer, word_tokenizer
from trainers.model import loading
from trainers.model.response_logprobs import response_logps

CONFIG = TrainConfig(batch_size=4, epochs=1, max_tokens=40, warmup_steps=1, learning_rate=1e-3)
SMALL = {
    "bloom": {"hidden_size": 16, "n_layer": 1, "n_head": 2},
    "mpt": {"d_model": 16, "n_layers": 1, "n_heads": 2, "max_seq_len": 64},
    "gptj": {"n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "rotary_dim": 4},
    "falcon": {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "alibi": True, "new_decoder_architecture": False, "multi_query": False},
    "xglm": {"d_model": 16, "ffn_dim": 32, "num_layers": 1, "attention_heads": 2, "max_position_embeddings": 64},
    "gpt_neo": {"hidden_size": 16, "num_layers": 1, "attention_types": [[["global"], 1]], "num_heads": 2, "max_position_embeddings": 64},
    "mamba": {"hidden_size": 16, "num_hidden_layers": 1, "state_size": 4},
    "recurrent_gemma": {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32, "lru_width": 16},
}  # fmt: skip


def save_small(kind, folder, spare=0, **changes):
    tokenizer = word_tokenizer([" ".join(WORDS), " " + " ".join(WORDS)], folder)
    torch.manual_seed(0)
    sizes = {"vocab_size": len(tokenizer) + spare, "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}  # fmt: skip
    AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **sizes, **SMALL.get(kind, {}), **changes)).save_pretrained(folder)  # fmt: skip
    return folder


LLAMA = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 64}  # fmt: skip


@pytest.mark.parametrize("kind", SMALL)
def test_an_architecture_trains_and_generates_with_the_attention_that_it_has(tmp_path, kind):
    base = save_small(kind, tmp_path / "base")
    result = align(DPO(), base, make_pairs(8), CONFIG, tmp_path / "out")
    assert result.health["saved_difference"] < 1e-4
    tokenizer = load_tokenizer(result.checkpoint)
    model = AutoModelForCausalLM.from_pretrained(result.checkpoint).eval()
    prompt, response = "w1 w2", " w3 w4 w5"
    ids = torch.tensor([[*tokenizer(prompt + response).input_ids, tokenizer.eos_token_id]])
    start = len(tokenizer(prompt).input_ids)
    with torch.no_grad():
        table = model(ids).logits.log_softmax(-1)
    expected = sum(float(table[0, at - 1, ids[0, at]]) for at in range(start, ids.shape[1]))
    assert response_logps(result.checkpoint, [prompt], [[response]])[0] == pytest.approx([expected], abs=1e-3)
    generator = HuggingFaceGenerator.load(result.checkpoint)
    (generation,) = generator.generate({"a": "w1 w2"}, Decoding(4, temperature=0.0))
    theirs = torch.tensor([tokenizer("w1 w2").input_ids])
    for _ in range(generation.n_tokens):
        with torch.no_grad():
            theirs = torch.cat([theirs, model(theirs).logits[:, -1:].argmax(-1)], -1)
    words = tokenizer.decode(theirs[0, 3:], skip_special_tokens=True)
    assert generation.response.strip() == words.strip()


@pytest.mark.parametrize("targets", ["all-linear", ("embed_tokens", "q_proj"), ("embed_tokens",)])
@pytest.mark.parametrize("tied", [True, False])
def test_adapters_on_embeddings_are_saved_as_they_were_trained(tmp_path, targets, tied):
    base = save_small("llama", tmp_path / "base", tie_word_embeddings=tied, **LLAMA)
    config = TrainConfig(batch_size=8, epochs=3, max_tokens=40, warmup_steps=1, learning_rate=1e-2, lora={"rank": 4, "target_modules": targets})  # fmt: skip
    result = align(DPO(), base, make_pairs(32), config, tmp_path / "out")
    assert abs(result.health["chosen_logp_change"]) > 1e-3
    assert result.health["saved_difference"] < 1e-5


def test_a_checkpoint_that_is_another_model_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    """The fault is planted: adapters on tied embeddings are merged into the table that the head shares."""
    monkeypatch.setattr(loading, "_untie", lambda model: None)
    base = save_small("llama", tmp_path / "base", tie_word_embeddings=True, **LLAMA)
    settings = {"batch_size": 8, "epochs": 3, "max_tokens": 40, "warmup_steps": 1, "learning_rate": 1e-1, "lora": {"rank": 4, "target_modules": ("embed_tokens",)}}  # fmt: skip
    with pytest.raises(ValueError, match=r"differs from the trained model by .* nats on a token"):
        align(DPO(), base, make_pairs(32), TrainConfig(**settings), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out.state.pt").unlink(missing_ok=True)
    unchecked = align(DPO(), base, make_pairs(32), TrainConfig(**settings, verify_checkpoint=False), tmp_path / "out")
    assert "saved_difference" not in unchecked.health
    assert "verify_checkpoint=False" in (unchecked.checkpoint / "README.md").read_text()


@pytest.mark.parametrize("spare", [-3, -1])
def test_a_vocabulary_larger_than_the_embedding_names_both_sizes(tmp_path, spare):
    base = save_small("llama", tmp_path / "base", spare=spare, **LLAMA)
    tokens = len(load_tokenizer(base))
    with pytest.raises(ValueError, match=f"its tokenizer has {tokens} tokens and its model embeds {tokens + spare};"):
        align(DPO(), base, make_pairs(8), CONFIG, tmp_path / "out")


def test_a_vocabulary_padded_beyond_the_tokenizer_works(tmp_path):
    base = save_small("llama", tmp_path / "base", spare=5, **LLAMA)
    assert align(DPO(), base, make_pairs(8), CONFIG, tmp_path / "out").steps == 2


def test_an_attention_that_disagrees_is_switched_back(tmp_path, monkeypatch):
    model = loading.load(save_small("llama", tmp_path / "base", **LLAMA))
    agreed = iter([True, False])
    monkeypatch.setattr(loading, "_agrees", lambda *arguments: next(agreed))
    layout = loading.layout_for(model, 20, 1024)
    assert (layout.shared, layout.attention) == (True, "mask")
    assert model.config._attn_implementation == "sdpa"
    assert np.isfinite(float(model(torch.tensor([[1, 2, 3]])).logits.sum()))
