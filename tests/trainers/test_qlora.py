"""Adapters on quantised weights; the runs need bitsandbytes."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from tests.trainers.toy import DPO
from trainers import config as config_module
from trainers.align import align
from trainers.config import LoraConfig, TrainConfig

CONFIG = TrainConfig(learning_rate=1e-2, batch_size=8, warmup_steps=2, epochs=2, log_every=3)


def test_the_package_is_asked_for_when_the_config_is_made(monkeypatch):
    monkeypatch.setattr(config_module, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"lora.bits needs the extra: pip install 'prefrontier\[qlora\]'"):
        TrainConfig(lora={"bits": 4})
    with pytest.raises(ValueError, match="bits must be 4 or 8, not 3"):
        LoraConfig(bits=3)


def test_four_bits_train_and_merge_into_the_full_weights(base, pairs, tmp_path):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed (extra qlora)")
    result = align(DPO(0.5), base, pairs, replace(CONFIG, lora=LoraConfig(rank=4, bits=4)), tmp_path / "out")
    assert result.health["delta"] > 0.5
    merged, start = (AutoModelForCausalLM.from_pretrained(folder) for folder in (result.checkpoint, base))
    assert {p.dtype for p in merged.parameters()} == {torch.float32}
    changed = {n for (n, p), q in zip(merged.named_parameters(), start.parameters(), strict=True) if not p.equal(q)}
    assert changed and all("proj" in name for name in changed)
