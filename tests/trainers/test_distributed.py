"""Two processes give what one gives: the same losses, the same weights, whatever couples the examples."""

from __future__ import annotations

import json
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

from trainers.align import align
from trainers.config import TrainConfig
from trainers.distributed import deal
from trainers.methods import create

ROOT = Path(__file__).parents[2]
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


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_processes_are_as_one(method, base, pairs, tmp_path):
    """Started as a user starts them; a batch of 7 and, after five of them, one of 5 do not divide by 2."""
    data, rewards = tmp_path / "pairs.jsonl", tmp_path / "rewards.parquet"
    data.write_text("".join(json.dumps({k: v for k, v in asdict(p).items() if v is not None}) + "\n" for p in pairs))
    rows = [(p.id, side, i / 40) for i, p in enumerate(pairs) for side in ("chosen", "rejected")]
    pd.DataFrame(rows, columns=["id", "response", "clean"]).to_parquet(rewards)
    made = create(method, **METHODS[method])
    given = {"rewards": str(rewards), "objective_weights": {"clean": 1.0}} if made.needs.rewards else {}
    one = align(made, base, data, TrainConfig(**TRAINING), tmp_path / "one", **given)

    settings = {"method": method, "parameters": METHODS[method], "base": str(base), "data": str(data)}
    settings |= {"training": TRAINING, "out": str(tmp_path / "two"), **given}
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(settings))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "trainers", str(tmp_path / "run.yaml")], cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert done.returncode == 0, done.stderr[-2000:]
    shown = [line.split() for line in done.stderr.splitlines() if line.startswith("step ")]
    losses = [value for _, name, value in one.curve if name == "loss"]
    assert [line[1] for line in shown] == [f"{step}/6" for step in range(1, 7)]  # the first process alone reports
    np.testing.assert_allclose([float(line[3]) for line in shown], losses, atol=1e-4)
    first, second = (load_file(folder / "model.safetensors") for folder in (tmp_path / "one", tmp_path / "two"))
    for name in first:
        torch.testing.assert_close(first[name], second[name], atol=2e-5, rtol=0)
