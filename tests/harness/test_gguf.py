"""Bases from GGUF files: an ordinary checkpoint of the same model, and one line for each file that is none."""

from __future__ import annotations

import json
import struct
from collections import namedtuple
from pathlib import Path

import pytest
import torch

pytest.importorskip("gguf", reason="the extra 'gguf' is not installed: pip install 'prefrontier[gguf]'")

from transformers import AutoModelForCausalLM

from harness.errors import UsageError
from harness.inputs.gguf import read_header
from harness.inputs.models import ModelError
from harness.plan.cells import make_plan
from harness.run.downloads import require_memory
from harness.run.formats import used_weights
from harness.run.job import Job, execute
from harness.spec.loading import load
from harness.store.store import Store, sha256
from reports.page.markdown import weights
from tests.gguf_model import TEMPLATE, save_gguf
from tests.paths import TOY
from trainers import methods
from trainers.align import align
from trainers.config import TrainConfig
from trainers.data.records import Pair
from trainers.tokens.loading import load_tokenizer

ROWS = [
    {
        "id": f"{n}",
        "prompt": f"\n\nHuman: the {chr(97 + n)}\n\nAssistant:",
        "chosen": " the cat sat.",
        "rejected": " no.",
    }
    for n in range(26)
]


def planned(folder: Path, model: Path | str, *overrides: str):
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    base = [
        f"data={{source: pairs, path: {data}, pairs: 8, judge_share: 0.3, test_prompts: 2}}",
        f"sizes={{chat: {{model: {model}}}}}",
        "judge={kind: reward_model}",
        "suites=[style]",
        "rewards={readability: 1.0}",
        "reference_point={readability: 0.0}",
        "methods={sft: {}}",
    ]
    return make_plan(load(TOY, [*base, *overrides]))


def base_stage(plan):
    return next(cell.policy for cell in plan.cells if cell.entry == "base")


@pytest.fixture(scope="module", params=["Q8_0", "Q4_0"])
def made(request, tmp_path_factory):
    """A file, and the artifact that the stage of its size makes of it."""
    folder = tmp_path_factory.mktemp(request.param)
    file = save_gguf(folder / "tiny.gguf", request.param)
    plan, store = planned(folder, file), Store(folder / "store")
    execute(Job.of(base_stage(plan), store))
    return file, plan, store, store.path(base_stage(plan).key)


def test_the_checkpoint_is_the_model_of_the_file(made):
    file, _, _, artifact = made
    held = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    saved = AutoModelForCausalLM.from_pretrained(artifact / "checkpoint", dtype=torch.float32)
    ids = torch.arange(24)[None] * 7 % 250
    with torch.no_grad():
        assert torch.equal(saved(ids).logits.log_softmax(-1), held(ids).logits.log_softmax(-1))
    assert saved.get_input_embeddings().weight is saved.get_output_embeddings().weight
    assert "quantization_config" not in json.loads((artifact / "checkpoint" / "config.json").read_text())


def test_template_and_end_of_turn_are_the_file_s(made):
    tokenizer = load_tokenizer(made[3] / "checkpoint")
    assert tokenizer.chat_template == TEMPLATE
    assert tokenizer("the")["input_ids"] == [tokenizer.convert_tokens_to_ids("the")]
    generation = json.loads((made[3] / "checkpoint" / "generation_config.json").read_text())
    assert generation["eos_token_id"] in (2, [2])


def test_cards_and_reports_say_which_weights_were_used(made):
    file, plan, store, artifact = made
    kind = file.parent.name[:4]
    origin = used_weights(plan, store)["chat"]
    assert origin == f"tiny.gguf (Tiny chat, {kind}, F32; file sha256 {sha256(file)})"
    assert weights({"weights": {"chat": origin}}) == [f"Weights of chat: {origin}."]
    card = (artifact / "checkpoint" / "README.md").read_text()
    assert all(word in card for word in ("| file | tiny.gguf |", sha256(file), f"{kind} (", "apache-2.0"))


def test_embeddings_stay_tied_through_lora(made, tmp_path):
    pairs = [Pair(row["id"], row["prompt"], row["chosen"], row["rejected"]) for row in ROWS[:4]]
    config = TrainConfig(
        learning_rate=0.01, batch_size=4, warmup_steps=0, dtype="bfloat16", lora={"rank": 2}, optimizer="adamw"
    )
    base = made[3] / "checkpoint"
    result = align(methods.create("dpo"), base, pairs, config, tmp_path / "policy", references=[base])
    saved, start = (AutoModelForCausalLM.from_pretrained(folder) for folder in (result.checkpoint, base))
    assert saved.get_input_embeddings().weight is saved.get_output_embeddings().weight
    assert torch.equal(saved.get_input_embeddings().weight, start.get_input_embeddings().weight)
    moved = saved.model.layers[0].self_attn.q_proj.weight, start.model.layers[0].self_attn.q_proj.weight
    assert not torch.equal(*moved)
    assert "tiny.gguf (Tiny chat" in (result.checkpoint / "README.md").read_text()


def test_the_key_is_of_the_bytes(made, tmp_path):
    file, plan, _, _ = made
    moved = tmp_path / "tiny.gguf"
    moved.write_bytes(file.read_bytes())
    assert base_stage(planned(tmp_path, moved)).key == base_stage(plan).key
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    moved.write_bytes(changed)
    assert base_stage(planned(tmp_path, moved)).key != base_stage(plan).key


def test_the_model_of_the_hub_runs_by_changing_one_value(made, tmp_path):
    ours, hub = planned(tmp_path, made[0]), planned(tmp_path, "HuggingFaceTB/SmolLM2-135M-Instruct")
    kinds = [sorted(s.kind.replace("dequantised", "pretrained") for s in plan.stages.values()) for plan in (ours, hub)]
    assert kinds[0] == kinds[1] and "pretrained" in kinds[0]


def test_a_file_is_an_entry_a_judge_and_the_base_of_an_adapter(made, tmp_path):
    file, adapter = tmp_path / "other.gguf", tmp_path / "adapter"
    file.write_bytes(made[0].read_bytes())
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": str(file)}))
    (adapter / "adapter_model.safetensors").write_bytes(b"weights")
    entries = f"methods={{brought: {{checkpoint: {file}}}, adapted: {{checkpoint: {adapter}}}}}"
    judge = f"judge={{kind: local_lm, model: {file}}}"
    brought = planned(tmp_path, made[0], entries, judge, "suites=[win_rate]")
    policies = {cell.entry: cell.policy for cell in brought.cells}
    assert policies["adapted"].inputs["base"].key == policies["brought"].key != policies["base"].key
    (judged,) = {stage.inputs["model"].key for stage in brought.stages.values() if stage.kind == "score_win_rate"}
    assert judged == policies["brought"].key


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.3, 0.9, 0.9999])
def test_a_file_that_is_cut_off_is_one_line(share, made, tmp_path):
    data = made[0].read_bytes()
    (cut := tmp_path / "cut.gguf").write_bytes(data[: int(share * len(data))])
    with pytest.raises(UsageError) as error:
        planned(tmp_path, cut)
    text = str(error.value)
    assert text.startswith(f"sizes.chat.model: {cut}: is ") and ("cut off" in text or share == 0) and "\n" not in text


@pytest.mark.parametrize(("number", "name"), [(15, "Q8_K"), (999, "number 999")])
def test_a_quantisation_type_that_cannot_be_read_is_one_line(number, name, made, tmp_path):
    data, tensor = made[0].read_bytes(), b"blk.1.ffn_down.weight"
    at = data.index(tensor) + len(tensor) + 4 + 2 * 8
    (odd := tmp_path / "odd.gguf").write_bytes(data[:at] + struct.pack("<I", number) + data[at + 4 :])
    message = (
        f"its tensor {tensor.decode()} has the quantisation type {name}, which cannot be read; quantise the model to"
    )
    with pytest.raises(UsageError, match=message):
        planned(tmp_path, odd)


def test_a_file_without_a_template_is_one_line_unless_it_is_meant(tmp_path):
    file = save_gguf(tmp_path / "plain.gguf", template=None)
    with pytest.raises(UsageError, match=r"plain\.gguf has no chat template .*; data\.template: none gives it the"):
        planned(tmp_path, file)
    assert "conversations" not in {
        stage.kind for stage in planned(tmp_path, file, "data.template=none").stages.values()
    }


def test_a_base_too_large_for_the_memory_is_one_line(made, monkeypatch):
    Memory = namedtuple("Memory", "available")
    monkeypatch.setattr("psutil.virtual_memory", lambda: Memory(2 * 4 * read_header(made[0]).n_weights - 1))
    require_memory(made[1], made[2])  # it is in the store already
    with pytest.raises(UsageError, match="weights take 0.0 GiB to dequantise, and this machine has 0.0 GiB free"):
        require_memory(made[1], Store(made[0].parent / "empty"))


def test_a_file_that_lacks_weights_is_refused_and_not_filled_at_random(tmp_path):
    from harness.inputs.gguf import dequantised

    with pytest.raises(ModelError, match="lacks 9 tensors of the model, model.layers.1"):
        dequantised(save_gguf(tmp_path / "part.gguf", layers=1))


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (None, "no such file"),
        (b"PK\x03\x04 a zip file", "is no GGUF file: it does not begin with 'GGUF'"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "is GGUF of version 1; versions 2 and 3 are read"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "its header names no architecture"),
        (b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 2**60), "is cut off or damaged"),
    ],
)
def test_what_is_no_file_of_a_model_is_one_line(contents, message, tmp_path):
    file = tmp_path / "model.gguf"
    if contents is not None:
        file.write_bytes(contents)
    with pytest.raises(UsageError, match=message) as error:
        planned(tmp_path, file)
    assert "\n" not in str(error.value)
