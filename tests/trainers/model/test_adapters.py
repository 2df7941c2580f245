"""Adapters: on quantised weights, which needs bitsandbytes, and under gradient checkpointing."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.trainers.toy import DPO
from trainers import config as config_module
from trainers.align import align
from trainers.config import LoraConfig, ModelConfig, TrainConfig
from trainers.model.loading import make

CONFIG = TrainConfig(learning_rate=1e-2, batch_size=8, warmup_steps=2, epochs=2, log_every=3)


def test_the_package_is_asked_for_when_the_config_is_made(monkeypatch):
    monkeypatch.setattr(config_module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"lora.bits needs the extra: pip install 'prefrontier\[qlora\]'"):
        TrainConfig(lora={"bits": 4})
    with pytest.raises(ValueError, match="bits must be 4 or 8, not 3"):
        LoraConfig(bits=3)


def test_four_bits_train_and_merge_into_the_full_weights(tokenizer, pairs, tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (extra qlora)")
    # Its kernels want widths in multiples of 64.
    wide = ModelConfig("llama", layers=1, hidden=64, heads=2, intermediate=128, context=64)
    base = tmp_path / "base"
    make(wide, tokenizer, 0).save_pretrained(base)
    tokenizer.save_pretrained(base)
    result = align(DPO(0.5), base, pairs, replace(CONFIG, lora=LoraConfig(rank=4, bits=4)), tmp_path / "out")
    assert result.health["delta"] > 0.5
    merged, start = (AutoModelForCausalLM.from_pretrained(folder) for folder in (result.checkpoint, base))
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    changed = {n for (n, p), q in zip(merged.named_parameters(), start.parameters(), strict=True) if not p.equal(q)}
    assert changed and all("proj" in name for name in changed)


def test_adapters_learn_the_same_under_checkpointing(base, pairs, tmp_path):
    config = replace(CONFIG, lora=LoraConfig(rank=2), max_steps=4, learning_rate=1e-3)
    configs = {name: replace(config, gradient_checkpointing=name == "less") for name in ("more", "less")}
    results = {name: align(DPO(0.5), base, pairs, c, tmp_path / name) for name, c in configs.items()}
    first, second = (AutoModelForCausalLM.from_pretrained(result.checkpoint) for result in results.values())
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0)
    assert results["less"].health["delta"] > 0
