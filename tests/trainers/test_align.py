"""Whole training runs: outputs, refusals, and equality of resumed and uninterrupted runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.paths import ROOT
from tests.trainers.toy import DPO, KTO, MODEL, Coupled, Diverging, ValueOnly, make_corpus
from trainers.align import align
from trainers.config import LoraConfig, TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import Example, ResponseGroup
from trainers.methods import create
from trainers.methods.interface import Needs
from trainers.model.response_logprobs import response_logps
from trainers.objective.method_inputs import read_rewards
from trainers.objective.reference import reference_logps
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import TrainingDiverged
from trainers.pretrain import pretrain

CONFIG = TrainConfig(learning_rate=1e-2, batch_size=8, warmup_steps=2, epochs=2, log_every=3)
TIMED = {"examples_per_second"}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def untimed(curve):
    return [entry for entry in curve if entry[1] not in TIMED]


@pytest.fixture(scope="module")
def rewards(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("rewards") / "rewards.parquet"
    rows = [
        (p.id, side, i / 40, float(side == "chosen")) for i, p in enumerate(pairs) for side in ("chosen", "rejected")
    ]
    pd.DataFrame(rows, columns=["id", "response", "clean", "plain"]).to_parquet(file)
    return file


@pytest.fixture(scope="module")
def trained(tmp_path_factory, base, pairs):
    out = tmp_path_factory.mktemp("dpo") / "checkpoint"
    seen = []
    return align(DPO(beta=0.5), base, pairs, CONFIG, out, progress=seen.append), seen


def test_dpo_prefers_the_chosen(trained, pairs, base):
    result, _ = trained
    assert result.steps == 10
    assert result.health["reward_accuracy"] > 0.95
    assert result.health["delta"] > 1
    losses = [value for _, name, value in result.curve if name == "loss"]
    assert losses[-1] < losses[0] < 0.75
    # The health figures are those of the checkpoint that was written.
    before, after = (
        np.stack(response_logps(folder, [p.prompt for p in pairs], [[p.chosen, p.rejected] for p in pairs]))
        for folder in (base, result.checkpoint)
    )
    change = after - before
    assert result.health["chosen_logp_change"] == pytest.approx(change[:, 0].mean(), abs=1e-3)
    assert result.health["rejected_logp_change"] == pytest.approx(change[:, 1].mean(), abs=1e-3)


def test_the_first_loss_is_log_two(base, pairs, tmp_path):
    result = align(DPO(), base, pairs, replace(CONFIG, max_steps=1, log_every=1), tmp_path / "out")
    assert {name: value for _, name, value in result.curve}["loss"] == pytest.approx(np.log(2), abs=1e-6)


def test_a_checkpoint_is_a_plain_folder_with_a_card(trained, base):
    result, _ = trained
    model = AutoModelForCausalLM.from_pretrained(result.checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(result.checkpoint)
    assert model(**tokenizer("w1 w2", return_tensors="pt")).logits.shape == (1, 3, len(tokenizer))
    card = (result.checkpoint / "README.md").read_text()
    for fact in ("| method | DPO |", "beta=0.5", f"| base | {base}", "learning_rate=0.01", "| steps | 10 |", "torch 2"):
        assert fact in card
    assert not state_file(result.checkpoint).exists()
    assert [path.name for path in result.checkpoint.parent.iterdir()] == [result.checkpoint.name]


def test_progress_counts_to_the_end(trained):
    result, seen = trained
    assert [p.step for p in seen] == [3, 6, 9, 10]
    assert {p.total_steps for p in seen} == {10}
    assert seen[-1].seconds_left == 0
    assert all(p.examples_per_second > 0 for p in seen)


def test_two_runs_are_bit_identical_and_seeds_differ(trained, base, pairs, tmp_path):
    result, _ = trained
    again = align(DPO(beta=0.5), base, pairs, CONFIG, tmp_path / "again")
    assert same_weights(again.checkpoint, result.checkpoint)
    assert untimed(again.curve) == untimed(result.curve)
    other = align(DPO(beta=0.5), base, pairs, replace(CONFIG, seed=1), tmp_path / "other")
    assert not same_weights(other.checkpoint, result.checkpoint)


class Interrupt(Exception):
    pass


@pytest.mark.parametrize(
    "method",
    [
        DPO(),
        Coupled(),
        create("aoppo"),
        create("spo", base="kto"),
        create("upo"),
        create("tr_dpo", interval=3),
        create("bco"),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_a_resumed_run_ends_bit_identical(method, lora, base, pairs, rewards, tmp_path):
    """Interrupted at step 6 with a state from step 4, in the middle of a pass."""
    config = replace(CONFIG, checkpoint_every=4, lora=lora, optimizer="adamw", schedule="cosine")
    extra = {"rewards": rewards, "objective_weights": {"clean": 1.0}}
    whole = align(method, base, pairs, config, tmp_path / "whole", **extra)

    def interrupt(progress):
        if progress.step == 6:
            raise Interrupt

    with pytest.raises(Interrupt):
        align(method, base, pairs, config, tmp_path / "parts", progress=interrupt, **extra)
    assert torch.load(state_file(tmp_path / "parts"), weights_only=True)["step"] == 4
    resumed = align(method, base, pairs, config, tmp_path / "parts", **extra)
    assert same_weights(resumed.checkpoint, whole.checkpoint)
    assert untimed(resumed.curve) == untimed(whole.curve)
    assert resumed.health == whole.health
    assert (resumed.tokens, resumed.steps) == (whole.tokens, whole.steps)


def test_a_reference_that_is_the_policy_of_every_step_leaves_the_loss_at_log_two(base, pairs, tmp_path):
    """α = 1 and τ = 1: the log-ratios are 0 at every step, while the policy moves."""
    method, config = create("tr_dpo", mix=1.0, interval=1), replace(CONFIG, log_every=1)
    result = align(method, base, pairs, config, tmp_path / "out")
    losses = [value for _, name, value in result.curve if name == "loss"]
    assert losses == pytest.approx([np.log(2)] * 10, abs=1e-5)
    assert result.health["delta"] > 1


def test_a_reference_that_never_moves_is_the_base(base, pairs, tmp_path):
    still = align(create("tr_dpo", interval=11), base, pairs, CONFIG, tmp_path / "still")
    plain = align(create("dpo"), base, pairs, CONFIG, tmp_path / "plain")
    assert same_weights(still.checkpoint, plain.checkpoint)
    moved = align(create("tr_dpo", interval=4), base, pairs, CONFIG, tmp_path / "moved")
    assert not same_weights(moved.checkpoint, plain.checkpoint)


def test_a_moving_reference_does_not_depend_on_micro_batches(base, pairs, tmp_path):
    method = create("tr_dpo", interval=2)
    curves = []
    for budget in (100_000, 60):
        config = replace(CONFIG, log_every=1, micro_batch_tokens=budget)
        result = align(method, base, pairs, config, tmp_path / str(budget))
        curves.append([value for _, name, value in result.curve if name == "loss"])
    assert curves[0] == pytest.approx(curves[1], abs=1e-3)


def test_a_lagged_reference_is_the_policy_of_one_step_before(base, pairs, tmp_path):
    """The first two steps see the base, and the third a reference that a frozen one is not."""
    losses = {}
    for follow in (True, False):
        config = replace(CONFIG, log_every=1, max_steps=3)
        result = align(create("humanline", follow=follow), base, pairs, config, tmp_path / str(follow))
        losses[follow] = [value for _, name, value in result.curve if name == "loss"]
    assert losses[True][:2] == losses[False][:2] and losses[True][2] != losses[False][2]
    assert losses[True][0] == pytest.approx(np.log(2), abs=1e-4)


@pytest.mark.parametrize("budget", [100_000, 60])
def test_a_lagged_reference_survives_a_stop(base, pairs, tmp_path, budget, monkeypatch):
    """A run that stops after three steps and goes on ends as one that never stopped, whatever its micro-batches."""
    config = replace(CONFIG, checkpoint_every=1, micro_batch_tokens=budget)
    method = create("humanline")
    whole = align(method, base, pairs, config, tmp_path / "whole")
    from trainers.objective.gradient import Objective

    own = Objective._gradient

    def stopping(self, batch, step):
        if step == 3:
            raise KeyboardInterrupt
        return own(self, batch, step)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Objective, "_gradient", stopping)
        align(method, base, pairs, config, tmp_path / "resumed")
    resumed = align(method, base, pairs, config, tmp_path / "resumed")
    assert same_weights(whole.checkpoint, resumed.checkpoint)


def test_a_moving_reference_begins_at_the_base(base, pairs, tmp_path):
    moved = align(DPO(), base, pairs, replace(CONFIG, max_steps=2), tmp_path / "moved").checkpoint
    with pytest.raises(ValueError, match="TRDPO moves its reference from the base; leave out references"):
        align(create("tr_dpo"), base, pairs, CONFIG, tmp_path / "out", references=[moved])


def test_a_killed_process_is_taken_up_again(tmp_path, base, tokenizer):
    """SIGKILL while states are being written; the rerun ends as a run that was never killed."""
    corpus = make_corpus(64)
    config = TrainConfig(learning_rate=1e-3, batch_size=4, epochs=8, checkpoint_every=1, warmup_steps=5)
    whole = pretrain(corpus, tokenizer, MODEL, config, tmp_path / "whole")
    script = textwrap.dedent(
        """
        import sys, torch
        from tests.trainers.toy import MODEL, make_corpus
        from trainers.config import TrainConfig
        from trainers.pretrain import pretrain
        torch.set_num_threads(1)
        config = TrainConfig(learning_rate=1e-3, batch_size=4, epochs=8, checkpoint_every=1, warmup_steps=5)
        pretrain(make_corpus(64), sys.argv[1], MODEL, config, sys.argv[2])
        """
    )
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    out = tmp_path / "killed"
    command = [sys.executable, "-c", script, str(tmp_path / "tokenizer"), str(out)]
    root = ROOT
    process = subprocess.Popen(command, cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while not state_file(out).exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    reached = torch.load(state_file(out), weights_only=True)["step"]
    assert 1 <= reached < whole.steps
    resumed = pretrain(corpus, tokenizer, MODEL, config, out)
    assert same_weights(resumed.checkpoint, whole.checkpoint)
    assert untimed(resumed.curve) == untimed(whole.curve)


def test_the_state_of_another_run_is_refused(base, pairs, tmp_path):
    config = replace(CONFIG, checkpoint_every=1)

    def interrupt(progress):
        raise Interrupt

    with pytest.raises(Interrupt):
        align(DPO(), base, pairs, config, tmp_path / "out", progress=interrupt)
    with pytest.raises(ValueError, match=r"state of another run \(its config, method differs\)"):
        align(DPO(beta=0.2), base, pairs, replace(config, seed=5), tmp_path / "out")


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_state(base, pairs, tmp_path):
    config = replace(CONFIG, checkpoint_every=2)
    with pytest.raises(TrainingDiverged, match="the loss is not finite at step 5; examples: p") as caught:
        align(Diverging(from_step=5), base, pairs, config, tmp_path / "out")
    from trainers.model.packing import shuffled

    batch = next(shuffled(len(pairs), 8, config.seed, start=5))
    assert caught.value.ids == [pairs[batch[1]].id]
    assert torch.load(state_file(tmp_path / "out"), weights_only=True)["step"] == 4
    assert not (tmp_path / "out").exists()


def test_a_gradient_that_is_no_number_names_the_batch(base, pairs, tmp_path):
    class Steep(DPO):
        def loss(self, scores):
            loss = super().loss(scores)
            return replace(
                loss, per_example=loss.per_example + (scores.logps[:, 0] - scores.logps[:, 0].detach()).sqrt()
            )

    with pytest.raises(TrainingDiverged, match="the gradient of the policy is not finite at step 0") as caught:
        align(Steep(), base, pairs, CONFIG, tmp_path / "out")
    assert len(caught.value.ids) == 8


def test_lora_writes_merged_weights_and_an_adapter(base, pairs, tmp_path, tokenizer):
    import peft

    result = align(DPO(), base, pairs, replace(CONFIG, lora=LoraConfig(rank=2)), tmp_path / "out")
    merged = AutoModelForCausalLM.from_pretrained(result.checkpoint).eval()
    adapted = peft.PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), result.checkpoint / "adapter")
    ids = tokenizer("w1 w2 w3", return_tensors="pt").input_ids
    start = AutoModelForCausalLM.from_pretrained(base).eval()
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, adapted.eval()(ids).logits, atol=1e-4, rtol=1e-4)
        assert (merged(ids).logits - start(ids).logits).abs().max() > 0.1
        with adapted.disable_adapter():
            torch.testing.assert_close(adapted(ids).logits, start(ids).logits)


def test_bf16_trains_close_to_fp32(trained, base, pairs, tmp_path):
    result, _ = trained
    rounded = align(DPO(beta=0.5), base, pairs, replace(CONFIG, dtype="bfloat16"), tmp_path / "out")
    losses = [[value for _, name, value in r.curve if name == "loss"] for r in (result, rounded)]
    assert losses[0] != losses[1]
    np.testing.assert_allclose(losses[1], losses[0], atol=0.02)
    assert {tensor.dtype for tensor in weights(rounded.checkpoint).values()} == {torch.float32}


def test_reference_from_a_file_a_checkpoint_or_the_base_is_the_same(trained, base, pairs, tmp_path):
    result, _ = trained
    file = reference_logps(base, pairs, CONFIG, tmp_path / "reference.parquet")
    table = pd.read_parquet(file)
    assert list(table.columns) == ["id", "response", "logp", "n_tokens"]
    assert table.response.value_counts().to_dict() == {"chosen": 40, "rejected": 40, "mismatched": 40}
    for number, given in enumerate(({"reference_logps": [file]}, {"references": [base]})):
        other = align(DPO(beta=0.5), base, pairs, CONFIG, tmp_path / f"out{number}", **given)
        assert same_weights(other.checkpoint, result.checkpoint)
    unpaired = align(KTO(), base, pairs, CONFIG, tmp_path / "kto", reference_logps=[file])
    assert any(name == "z0" for _, name, _ in unpaired.curve)


def test_offline_ppo_learns_and_takes_its_reference_per_token_from_a_file(base, pairs, tmp_path):
    method = create("oppo", kl_coefficient=0.0)
    file = reference_logps(base, pairs, CONFIG, tmp_path / "tokens.parquet", token_level=True)
    table = pd.read_parquet(file)
    scored = table[table.response != "mismatched"]
    assert scored.token_logps.map(len).tolist() == scored.n_tokens.tolist()
    np.testing.assert_allclose(scored.token_logps.map(np.sum), scored.logp, atol=1e-4)
    results = [
        align(method, base, pairs, CONFIG, tmp_path / f"out{number}", **given)
        for number, given in enumerate(({}, {"reference_logps": [file]}, {"references": [base]}))
    ]
    assert results[0].health["delta"] > 1
    assert same_weights(results[0].checkpoint, results[1].checkpoint)
    assert same_weights(results[0].checkpoint, results[2].checkpoint)
    sums = reference_logps(base, pairs, CONFIG, tmp_path / "sums.parquet")
    with pytest.raises(ValueError, match="no log-probabilities per token"):
        align(method, base, pairs, CONFIG, tmp_path / "out", reference_logps=[sums])


def test_the_degree_task_is_learned(base, pairs, tmp_path):
    """Which third of its words a response has lost shows in its length here: better than chance soon."""
    config = replace(CONFIG, epochs=8, optimizer="adamw")
    result = align(create("spo", gamma=1.0), base, pairs, config, tmp_path / "out")
    losses = [value for _, name, value in result.curve if name == "degree_loss"]
    assert losses[-1] < 0.8 * losses[0]
    assert result.health["delta"] > 1
    assert AutoModelForCausalLM.from_pretrained(result.checkpoint)


def test_a_reference_for_something_else_is_refused(base, trained, pairs, tmp_path):
    result, _ = trained
    file = reference_logps(base, pairs, CONFIG, tmp_path / "reference.parquet")
    refusals = {
        "is for other tokens": {"data": [replace(pairs[0], prompt="w1"), *pairs[1:]]},
        "computed in float32, this run uses bfloat16": {"config": replace(CONFIG, dtype="bfloat16")},
        "needs 1 reference model": {"reference_logps": [file, file]},
    }
    for message, change in refusals.items():
        arguments = {"data": pairs, "config": CONFIG, "reference_logps": [file]} | change
        with pytest.raises(ValueError, match=message):
            align(DPO(), base, arguments.pop("data"), arguments.pop("config"), tmp_path / "out", **arguments)
    # The table says that it is the base's, but its numbers are not.
    import pyarrow.parquet

    table = pyarrow.parquet.read_table(file)
    shifted = table.set_column(2, "logp", pyarrow.array(table["logp"].to_numpy() + 0.01))
    pyarrow.parquet.write_table(shifted, file)
    with pytest.raises(RuntimeError, match="nats away from its own reference"):
        align(DPO(), base, pairs, CONFIG, tmp_path / "out", reference_logps=[file])


def test_unpaired_data(base, tmp_path, pairs):
    examples = [Example(f"{p.id}{y}", p.prompt, p.chosen if y else p.rejected, y) for p in pairs for y in (True, False)]
    result = align(KTO(beta=0.5), base, examples, CONFIG, tmp_path / "out")
    assert result.health["chosen_logp_change"] > result.health["rejected_logp_change"] + 1
    with pytest.raises(ValueError, match="DPO needs pairs, but the data is unpaired"):
        align(DPO(), base, examples, CONFIG, tmp_path / "other")


def test_rewards_are_weighted_sums_in_the_order_of_the_data(rewards, pairs, tokenizer, tmp_path):
    encoded = encode_pairs(pairs[::-1], tokenizer, Limits(64))
    total = read_rewards(rewards, {"clean": 0.25, "plain": 2.0}, encoded)
    np.testing.assert_allclose(total[:, 0], [0.25 * i / 40 + 2 for i in range(39, -1, -1)], rtol=1e-6)
    np.testing.assert_allclose(total[:, 1], [0.25 * i / 40 for i in range(39, -1, -1)], rtol=1e-6)
    with pytest.raises(ValueError, match="no objective 'polite'; it has clean, plain"):
        read_rewards(rewards, {"polite": 1.0}, encoded)
    with pytest.raises(ValueError, match="weight of objective 'clean' is -1.0"):
        read_rewards(rewards, {"clean": -1.0}, encoded)
    short = tmp_path / "short.parquet"
    pd.read_parquet(rewards).iloc[1:].to_parquet(short)
    with pytest.raises(ValueError, match="no finite reward for p0, chosen"):
        read_rewards(short, {"clean": 1.0}, encoded)


def test_the_value_head_learns_at_its_own_rate(base, pairs, rewards, tmp_path):
    config = replace(CONFIG, learning_rate=1e-9, value_learning_rate=3e-2, epochs=12, value_max_grad_norm=10.0)
    weights_ = {"objective_weights": {"plain": 1.0}}
    result = align(ValueOnly(), base, pairs, config, tmp_path / "out", rewards=rewards, **weights_)
    values = [value for _, name, value in result.curve if name == "value"]
    assert abs(values[0] - 0.5) > 0.5 and values[-1] == pytest.approx(0.5, abs=1e-3)  # chosen 1, rejected 0
    assert same_weights(result.checkpoint, base)
    with pytest.raises(ValueError, match="ValueOnly needs rewards"):
        align(ValueOnly(), base, pairs, config, tmp_path / "other")


def test_bad_places(base, pairs, tmp_path, trained, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ValueError, match="no checkpoint folder"):
        align(DPO(), tmp_path, pairs, CONFIG, tmp_path / "out")
    with pytest.raises(ValueError, match="no/such-model is neither a checkpoint folder nor a model that the hub gives"):
        align(DPO(), "no/such-model", pairs, CONFIG, tmp_path / "out")
    with pytest.raises(FileExistsError, match="is there already"):
        align(DPO(), base, pairs, CONFIG, trained[0].checkpoint)
    with pytest.raises(ValueError, match=r"max_tokens \(100\) exceeds the model's context \(64\)"):
        align(DPO(), base, pairs, replace(CONFIG, max_tokens=100), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_supervised_fine_tuning_of_a_checkpoint(base, tmp_path, pairs, tokenizer):
    corpus = make_corpus(40, seed=9)
    result = pretrain(corpus, tokenizer, base, replace(CONFIG, epochs=12), tmp_path / "sft")
    arguments = [d.prompt for d in corpus], [[d.response] for d in corpus]
    before, after = (np.concatenate(response_logps(folder, *arguments)).mean() for folder in (base, result.checkpoint))
    assert after > before + 1


def test_a_methods_further_needs_are_met(base, pairs, tmp_path):
    """Prompt embeddings are the base's own states; a base response is a third column."""
    seen = []

    class Curious(DPO):
        needs = Needs(references=1, embeddings=True, base_responses=True)

        def loss(self, scores):
            seen.append(scores)
            return super().loss(scores)

    with_base = [replace(pair, base_response=" w3 w4") for pair in pairs]
    file = reference_logps(base, with_base, CONFIG, tmp_path / "reference.parquet")
    config = replace(CONFIG, max_steps=1)
    for number, given in enumerate(({"reference_logps": [file]}, {})):
        align(Curious(), base, with_base, config, tmp_path / f"out{number}", **given)
    scores, again = seen
    assert scores.logps.shape == (8, 3)
    assert scores.embeddings.shape == (8, MODEL.hidden)
    assert scores.desirable[0].tolist() == [True, False, False]
    torch.testing.assert_close(scores.reference, scores.logps.detach(), atol=1e-4, rtol=0)
    torch.testing.assert_close(again.reference, scores.reference, atol=1e-4, rtol=0)
    with pytest.raises(ValueError, match="pair p0: no 'base_response'"):
        align(Curious(), base, pairs, config, tmp_path / "other")


@pytest.mark.parametrize("name", ["exo_reward", "infonca", "nca_reward", "rrhf"])
def test_a_group_of_two_trains_like_a_pair_where_rewards_tell_them_apart(name, base, pairs, rewards, tmp_path):
    from trainers.methods import create

    weighted = {"clean": 0.25, "plain": 0.75}
    align(create(name), base, pairs, CONFIG, tmp_path / "pairs", rewards=rewards, objective_weights=weighted)
    groups = [ResponseGroup(pair.id, pair.prompt, (pair.chosen, pair.rejected)) for pair in pairs]
    table = pd.read_parquet(rewards).replace({"response": {"chosen": "response_0", "rejected": "response_1"}})
    table.to_parquet(tmp_path / "rewards.parquet")
    options = {"rewards": tmp_path / "rewards.parquet", "objective_weights": weighted}
    result = align(create(name), base, groups, CONFIG, tmp_path / "groups", **options)
    assert same_weights(tmp_path / "pairs", tmp_path / "groups")
    assert "delta" not in result.health and np.isfinite(result.health["kl_per_token"])


def test_groups_are_refused_by_methods_that_need_labels(base, tmp_path):
    groups = [ResponseGroup("g", "w1", (" w2", " w3"))]
    with pytest.raises(ValueError, match="DPO needs labels, but the data is groups of responses"):
        align(DPO(), base, groups, CONFIG, tmp_path / "out")
