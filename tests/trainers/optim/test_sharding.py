"""Weights sharded over two processes against one process with all weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.objective.test_distribution import METHODS, TRAINING, align_in_processes, inputs, same_outcome
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create
from trainers.optim import loop
from trainers.optim.checkpoint import state_file
from trainers.optim.sharding import clip_gradient, whole

SHARDED = TRAINING | {
    "sharding": True,
    "micro_batch_tokens": 24,  # the two processes have two to four passes a step, rarely equally many
    "max_grad_norm": 0.05,  # every gradient is clipped
    "gradient_checkpointing": True,
}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "kto", "upo"])
def test_sharded_weights_train_as_whole_ones(method, base, pairs, tmp_path, monkeypatch):
    made = create(method, **METHODS[method])
    data, method_inputs = inputs(made, pairs, tmp_path)
    ours = []
    monkeypatch.setattr(loop, "clip_gradient", recording(ours))
    one = align(made, base, data, replace(TrainConfig(**SHARDED), sharding=False), tmp_path / "one", **method_inputs)
    settings = {"method": method, "parameters": METHODS[method], "base": str(base), "data": str(data), **method_inputs}
    program = tmp_path / "recorder.py"
    program.write_text(RECORDER.format(yaml=str(tmp_path / "run.yaml"), file=str(tmp_path / "theirs.pt")))
    settings |= {"training": SHARDED, "out": str(tmp_path / "two")}
    two = align_in_processes(settings, tmp_path, program=(str(program),))
    same_outcome(one, two, tmp_path / "two")
    theirs = torch.load(tmp_path / "theirs.pt", weights_only=True)
    assert len(theirs) == len(ours) == 6 * (1 + made.needs.values)
    # The optimizer forgets the scale of gradients, so they are compared too.
    for (norm, gradients), (their_norm, their_gradients) in zip(ours, theirs, strict=True):
        torch.testing.assert_close(their_norm, norm, rtol=1e-3, atol=0)
        for gradient, their_gradient in zip(gradients, their_gradients, strict=True):
            torch.testing.assert_close(their_gradient, gradient, rtol=0, atol=1e-5)


def recording(seen: list):
    """Clipping that keeps the norms and the clipped gradients."""

    def clip(parameters, max_norm):
        norm = clip_gradient(parameters, max_norm)
        seen.append((norm.clone(), whole([parameter.grad.clone() for parameter in parameters])))
        return norm

    return clip


RECORDER = """
import os
import torch
from tests.trainers.optim.test_sharding import recording
from trainers.optim import loop
from trainers.__main__ import main

seen = []
loop.clip_gradient = recording(seen)
main({yaml!r})
if os.environ["RANK"] == "0":
    torch.save(seen, {file!r})
"""


@pytest.mark.slow
def test_a_sharded_run_is_taken_up_again(base, pairs, tmp_path):
    """The state of step 4 of 6, with whole tensors, goes on to the weights of an uninterrupted run."""
    made = create("dpo", **METHODS["dpo"])
    data, _ = inputs(made, pairs, tmp_path)
    training = SHARDED | {"checkpoint_every": 4}
    settings = {"method": "dpo", "parameters": METHODS["dpo"], "base": str(base), "data": str(data)}
    settings |= {"training": training}
    stopper = tmp_path / "stopper.py"
    stopper.write_text(STOPPER.format(yaml=str(tmp_path / "run.yaml")))
    out = tmp_path / "parts"
    align_in_processes(settings | {"out": str(out)}, tmp_path, program=(str(stopper),), fails=True)
    state = torch.load(state_file(out), weights_only=True)
    shapes = {f"policy.{name}": tensor.shape for name, tensor in load_file(base / "model.safetensors").items()}
    assert state["step"] == 4
    assert {name: tensor.shape for name, tensor in state["parts"].items()} == shapes
    shown = align_in_processes(settings | {"out": str(out)}, tmp_path)
    assert [step for step, _ in shown] == ["5/6", "6/6"]
    one = align(made, base, data, replace(TrainConfig(**training), sharding=False), tmp_path / "one")
    first, second = (load_file(folder / "model.safetensors") for folder in (one.checkpoint, out))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-5, rtol=0)


STOPPER = """
import os
import trainers.optim.loop
from trainers.__main__ import main

save = trainers.optim.loop.save_state

def save_and_stop(file, state):
    save(file, state)
    os._exit(3)

trainers.optim.loop.save_state = save_and_stop
main({yaml!r})
"""


def test_sharding_needs_several_processes(base, pairs, tmp_path):
    with pytest.raises(ValueError, match="sharding: it needs several processes"):
        align(create("dpo"), base, pairs, TrainConfig(sharding=True), tmp_path / "out")


def test_other_training_refuses_sharding(tmp_path):
    run = loop.optimise({}, [], lambda batch, step: None, ["a"], TrainConfig(sharding=True), tmp_path / "state", {})
    with pytest.raises(ValueError, match="sharding is for alignment"):
        next(run)
