"""Linear combinations of checkpoints: exact at the ends, linear between, complete for adapters and tied weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

from tests.trainers.toy import DPO
from trainers.align import align
from trainers.config import LoraConfig, TrainConfig
from trainers.edit.combination import combine
from trainers.edit.rounds import Rounds, Soup


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def policies(tmp_path_factory, base, pairs):
    """One policy trained in full and two with adapters."""
    folder = tmp_path_factory.mktemp("policies")
    for name, lora, seed in (("full", None, 0), ("one", LoraConfig(rank=2), 1), ("other", LoraConfig(rank=2), 2)):
        config = TrainConfig(learning_rate=1e-2, batch_size=8, warmup_steps=2, seed=seed, lora=lora)
        align(DPO(), base, pairs, config, folder / name)
    return folder


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_the_ends_of_a_soup_are_its_policies_to_the_byte(share, policies, base, tmp_path):
    out = combine([base, policies / "full"], Soup(share).weights(2), tmp_path / "soup")
    end = (base, policies / "full")[int(share)]
    assert (out / "model.safetensors").read_bytes() == (end / "model.safetensors").read_bytes()


def test_extrapolation_of_zero_changes_no_byte(policies, base, tmp_path):
    out = combine([policies / "full", base], Rounds(extrapolation=0.0).weights, tmp_path / "next")
    assert (out / "model.safetensors").read_bytes() == (policies / "full" / "model.safetensors").read_bytes()


def test_extrapolation_goes_beyond_on_the_line(policies, base, tmp_path):
    out = combine([policies / "full", base], Rounds(extrapolation=0.3).weights, tmp_path / "next")
    after, before = weights(policies / "full"), weights(base)
    for name, tensor in weights(out).items():
        torch.testing.assert_close(tensor, after[name] + 0.3 * (after[name] - before[name]), rtol=0, atol=1e-6)


def test_adapters_are_summed_as_whole_deltas(policies, base, tmp_path):
    """θ_0 + ½·(α/r)·(B_1·A_1 + B_2·A_2), and not the product of the mean factors."""
    out = weights(combine([policies / "one", policies / "other"], [0.5, 0.5], tmp_path / "soup"))
    start = weights(base)
    moved = 0
    for name, tensor in start.items():
        expected = tensor.clone()
        for policy in ("one", "other"):
            folder = policies / policy / "adapter"
            adapter = load_file(folder / "adapter_model.safetensors")
            scale = json.loads((folder / "adapter_config.json").read_text())["lora_alpha"] / 2
            prefix = f"base_model.model.{name.removesuffix('.weight')}"
            if f"{prefix}.lora_A.weight" in adapter:
                moved += 1
                expected += 0.5 * scale * adapter[f"{prefix}.lora_B.weight"] @ adapter[f"{prefix}.lora_A.weight"]
        torch.testing.assert_close(out[name], expected, rtol=0, atol=1e-6)
    assert moved > 4


def test_tied_embeddings_stay_tied(base, tokenizer, tmp_path):
    config = AutoConfig.from_pretrained(base, tie_word_embeddings=True)
    for seed in (0, 1):
        torch.manual_seed(seed)
        AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / str(seed))
        tokenizer.save_pretrained(tmp_path / str(seed))
    out = combine([tmp_path / "0", tmp_path / "1"], [0.25, 0.75], tmp_path / "soup")
    assert "lm_head.weight" not in weights(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    name = "model.embed_tokens.weight"
    expected = 0.25 * weights(tmp_path / "0")[name] + 0.75 * weights(tmp_path / "1")[name]
    assert torch.equal(weights(out)[name], expected)


def test_what_does_not_fit_is_refused(policies, base, tmp_path, tiny_bpe):
    with pytest.raises(ValueError, match="as many weights that add up to 1"):
        combine([base, base], [0.5, 0.6], tmp_path / "soup")
    other = tmp_path / "other"
    AutoModelForCausalLM.from_pretrained(base).save_pretrained(other)
    tiny_bpe.save_pretrained(other)
    with pytest.raises(ValueError, match="another vocabulary"):
        combine([base, other], [0.5, 0.5], tmp_path / "soup")
    config = AutoConfig.from_pretrained(base, intermediate_size=48)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "wide")
    for file in base.glob("tokenizer*"):
        (tmp_path / "wide" / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ValueError, match="other tensors"):
        combine([base, tmp_path / "wide"], [0.5, 0.5], tmp_path / "soup")
    assert not (tmp_path / "soup").exists()


@pytest.mark.parametrize("policies_mixed", [2, 3, 5])
def test_soup_weights_add_up(policies_mixed):
    assert sum(Soup(0.3).weights(policies_mixed)) == pytest.approx(1.0)


def test_outer_settings_are_checked():
    with pytest.raises(ValueError, match="count must be a whole number"):
        Rounds(count=1.5)
    with pytest.raises(ValueError, match=r"extrapolation must be a number in \[0, 1\]"):
        Rounds(extrapolation=-0.1)
