"""Policies trained together: equality with policies trained alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.toy import DPO, KTO, Diverging
from trainers import sweep
from trainers.align import align
from trainers.config import LoraConfig, ModelConfig, TrainConfig, TrainResult
from trainers.methods import create
from trainers.model.loading import make
from trainers.optim.checkpoint import state_file
from trainers.optim.loop import TrainingDiverged
from trainers.sweep import Run, align_together

CONFIG = TrainConfig(learning_rate=3e-4, batch_size=8, warmup_steps=2, epochs=2, log_every=3, optimizer="adamw")
TIMED = {"examples_per_second"}


@pytest.fixture(scope="module")
def rewards(tmp_path_factory, pairs):
    file = tmp_path_factory.mktemp("rewards") / "rewards.parquet"
    rows = [(p.id, side, i / 40) for i, p in enumerate(pairs) for side in ("chosen", "rejected")]
    pd.DataFrame(rows, columns=["id", "response", "clean"]).to_parquet(file)
    return {"rewards": file, "objective_weights": {"clean": 1.0}}


@pytest.fixture
def stacks(monkeypatch):
    """How many policies were stacked, each time."""
    made = []

    class Counted(sweep.Stack):
        def __init__(self, objectives):
            made.append(len(objectives))
            super().__init__(objectives)

    monkeypatch.setattr(sweep, "Stack", Counted)
    return made


def assert_same(one: TrainResult, other: TrainResult, atol: float) -> None:
    first, second = (load_file(result.checkpoint / "model.safetensors") for result in (one, other))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=atol, rtol=0)
    curves = [[entry for entry in result.curve if entry[1] not in TIMED] for result in (one, other)]
    assert [entry[:2] for entry in curves[0]] == [entry[:2] for entry in curves[1]]
    np.testing.assert_allclose([e[2] for e in curves[0]], [e[2] for e in curves[1]], atol=100 * atol, rtol=1e-3)
    assert one.health.keys() == other.health.keys()
    np.testing.assert_allclose(list(one.health.values()), list(other.health.values()), atol=100 * atol)
    assert (one.tokens, one.steps) == (other.tokens, other.steps)


def both(runs, base, pairs, tmp_path, **given):
    """Results together and alone."""
    runs = [Run(method, config, tmp_path / f"together{i}") for i, (method, config) in enumerate(runs)]
    ours = align_together(runs, base, pairs, **given)
    given = given if runs[0].method.needs.rewards else {}
    alone = [align(r.method, base, pairs, r.config, tmp_path / f"alone{i}", **given) for i, r in enumerate(runs)]
    return ours, alone


def test_a_sweep_over_beta_and_learning_rate(base, pairs, tmp_path, stacks):
    runs = [(DPO(beta), replace(CONFIG, learning_rate=rate)) for beta, rate in ((0.1, 3e-4), (0.5, 3e-4), (0.5, 6e-4))]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        assert_same(ours, alone, 1e-5)
    assert stacks == [3]


def test_a_sweep_of_upo_with_value_heads_and_a_clipped_gradient(base, pairs, rewards, tmp_path, stacks):
    """Its base, KTO, also scores mismatched responses at every step."""
    config = replace(CONFIG, max_grad_norm=0.05, value_learning_rate=1e-2)
    runs = [(create("upo", gamma=gamma, aux_warmup=2), config) for gamma in (0.05, 0.5, 1.5)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path, **rewards), strict=True):
        assert_same(ours, alone, 1e-5)
        assert any(name == "value_loss" for _, name, _ in ours.curve)
    assert stacks == [3]


def test_adapters_over_one_frozen_base(base, pairs, tmp_path, stacks):
    runs = [(DPO(beta), replace(CONFIG, max_steps=4, lora=LoraConfig(rank=2))) for beta in (0.1, 0.5)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        assert_same(ours, alone, 1e-5)
    assert stacks == [2]


def test_a_loss_that_couples_examples_over_several_micro_batches(base, pairs, tmp_path, stacks):
    """Each policy runs every micro-batch twice: without gradients, then with."""
    config = replace(CONFIG, max_steps=4, micro_batch_tokens=64)
    runs = [(create("rpo", beta=beta), config) for beta in (0.1, 0.5)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        assert_same(ours, alone, 1e-5)
    assert stacks == [2]


def test_references_that_follow_policies_of_one_stack(base, pairs, tmp_path, stacks):
    """Each follows its own policy, whose decoder is computed together with the others'."""
    runs = [(create("tr_dpo", interval=2, base_parameters={"beta": beta}), CONFIG) for beta in (0.1, 0.5)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        # Not the accuracies: at the start, where every margin is 0, they depend on rounding.
        losses = [[value for _, name, value in result.curve if name == "loss"] for result in (ours, alone)]
        assert losses[0] == pytest.approx(losses[1], abs=1e-5)
        assert ours.health["delta"] == pytest.approx(alone.health["delta"], abs=1e-4)
    assert stacks == [2]


@pytest.mark.parametrize("architecture", ["gpt_neox", "gpt2"])
def test_architectures(architecture, pairs, tokenizer, tmp_path, stacks):
    model = make(ModelConfig(architecture, layers=2, hidden=16, heads=2, intermediate=32, context=64), tokenizer, 0)
    model.save_pretrained(tmp_path / "base")
    tokenizer.save_pretrained(tmp_path / "base")
    runs = [(DPO(beta), replace(CONFIG, max_steps=3)) for beta in (0.1, 0.5)]
    for ours, alone in zip(*both(runs, tmp_path / "base", pairs, tmp_path), strict=True):
        assert_same(ours, alone, 1e-5)
    assert stacks == [2]


def test_long_steps_are_taken_in_turn_and_are_the_same_to_the_bit(base, pairs, tmp_path, stacks, monkeypatch):
    monkeypatch.setattr(sweep, "STACK_BELOW", 0)
    runs = [(DPO(0.1), CONFIG), (DPO(0.5), replace(CONFIG, seed=1)), (KTO(0.5), CONFIG)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        assert_same(ours, alone, 0.0)
    assert stacks == []


def test_seeds_and_methods_with_other_needs_are_not_mixed(base, pairs, tmp_path, stacks):
    runs = [(DPO(0.1), CONFIG), (KTO(0.5), CONFIG), (DPO(0.5), replace(CONFIG, seed=1)), (DPO(0.5), CONFIG)]
    for ours, alone in zip(*both(runs, base, pairs, tmp_path), strict=True):
        assert_same(ours, alone, 1e-5)
    assert stacks == [2]


@pytest.mark.parametrize("stack_below", [0, sweep.STACK_BELOW], ids=["in turn", "in step"])
def test_one_that_diverges_does_not_stop_the_others(stack_below, base, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(sweep, "STACK_BELOW", stack_below)
    config = replace(CONFIG, max_steps=5)
    steps = (3, 99)
    bad, good = align_together([Run(Diverging(s), config, tmp_path / f"{s}") for s in steps], base, pairs)
    assert isinstance(bad, TrainingDiverged) and bad.step == 3
    assert not (tmp_path / "3").exists()
    assert_same(good, align(Diverging(99), base, pairs, config, tmp_path / "alone"), 1e-5)


def test_runs_that_were_interrupted_at_different_steps(base, pairs, tmp_path):
    config = replace(CONFIG, checkpoint_every=2)

    class Interrupt(Exception):
        pass

    def interrupt(progress):
        raise Interrupt

    with pytest.raises(Interrupt):
        align(DPO(0.5), base, pairs, replace(config, log_every=3), tmp_path / "ahead", progress=interrupt)
    assert torch.load(state_file(tmp_path / "ahead"), weights_only=True)["step"] == 2
    runs = [Run(DPO(0.5), config, tmp_path / "ahead"), Run(DPO(0.1), config, tmp_path / "behind")]
    for ours, run in zip(align_together(runs, base, pairs), runs, strict=True):
        assert_same(ours, align(run.method, base, pairs, config, tmp_path / f"{run.out.name} alone"), 1e-5)


def test_a_place_that_is_taken_is_that_runs_failure(base, pairs, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    config = replace(CONFIG, max_steps=1)
    taken, free = align_together([Run(DPO(), config, tmp_path / name) for name in ("taken", "free")], base, pairs)
    assert isinstance(taken, FileExistsError)
    assert free.steps == 1
