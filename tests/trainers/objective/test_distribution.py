"""Two processes against one: equal losses and weights, also for losses that couple examples."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.paths import ROOT
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create
from trainers.objective.distribution import deal

TRAINING = {
    "learning_rate": 3e-4,
    "batch_size": 7,
    "warmup_steps": 2,
    "optimizer": "adamw",
    "log_every": 1,
    "max_steps": 6,
}
METHODS = {
    "dpo": {"beta": 0.5},
    "kto": {"beta": 0.5},
    "rpo": {"beta": 0.5},
    "upo": {"gamma": 0.5, "aux_warmup": 2},
}


def test_a_batch_is_dealt_once_and_evenly():
    sizes = np.random.default_rng(0).integers(5, 50, 33)
    parts = deal(sizes, 4)
    assert sorted(np.concatenate(parts).tolist()) == list(range(33))
    loads = [sizes[part].sum() for part in parts]
    assert max(loads) - min(loads) < sizes.max()


def inputs(method, pairs, folder: Path) -> tuple[Path, dict]:
    """The pairs as a file, and the rewards that a method may need."""
    data, rewards = folder / "pairs.jsonl", folder / "rewards.parquet"
    data.write_text("".join(json.dumps({k: v for k, v in asdict(p).items() if v is not None}) + "\n" for p in pairs))
    rows = [(p.id, side, i / 40) for i, p in enumerate(pairs) for side in ("chosen", "rejected")]
    pd.DataFrame(rows, columns=["id", "response", "clean"]).to_parquet(rewards)
    return data, {"rewards": str(rewards), "objective_weights": {"clean": 1.0}} if method.needs.rewards else {}


def align_in_processes(settings: dict, folder: Path, program=None, fails: bool = False) -> list[tuple[str, float]]:
    """Two processes, started as a user starts them; the steps and losses that they print."""
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, *(program or ("-m", "trainers", str(folder / "run.yaml")))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode != 0) == fails, done.stderr[-2000:]
    shown = [line.split() for line in done.stderr.splitlines() if line.startswith("step ")]
    return [(line[1], float(line[3])) for line in shown]


def same_outcome(one, shown: list[tuple[str, float]], two: Path) -> None:
    """The losses that one process recorded and two printed, and the weights that both wrote."""
    losses = [value for _, name, value in one.curve if name == "loss"]
    assert [step for step, _ in shown] == [f"{step}/6" for step in range(1, 7)]  # the first process alone reports
    np.testing.assert_allclose([loss for _, loss in shown], losses, atol=1e-4)
    first, second = (load_file(folder / "model.safetensors") for folder in (one.checkpoint, two))
    assert first.keys() == second.keys()
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-5, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_as_one(method, base, pairs, tmp_path):
    """A batch of 7 and, after five of them, one of 5 do not divide by 2."""
    made = create(method, **METHODS[method])
    data, method_inputs = inputs(made, pairs, tmp_path)
    one = align(made, base, data, TrainConfig(**TRAINING), tmp_path / "one", **method_inputs)
    settings = {"method": method, "parameters": METHODS[method], "base": str(base), "data": str(data), **method_inputs}
    two = align_in_processes(settings | {"training": TRAINING, "out": str(tmp_path / "two")}, tmp_path)
    same_outcome(one, two, tmp_path / "two")
