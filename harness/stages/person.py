"""Stage ``person``: pairs of one user of a population, with the user's reward of each response in [0, 1]."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from harness.inputs.population import population_of, spaced
from harness.store.jsonl import write_jsonl

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    shutil.copyfile(inputs["data"] / "world.json", out / "world.json")
    population = population_of(inputs["data"])
    world = population.world_of(parameters["person"])
    pairs = world.pairs(parameters["pairs"], world.spec.seed)
    write_jsonl(out / "pairs.jsonl", spaced(pairs))
    lowest, highest = world.reward.min(axis=1), world.reward.max(axis=1)
    scaled = (world.reward - lowest[:, None]) / (highest - lowest)[:, None]
    table = [
        (pair["id"], side, float(scaled[row, column]))
        for pair in pairs
        for row in [world.index(pair["prompt"])]
        for side in ("chosen", "rejected")
        if (column := world.parse(pair["prompt"], pair[side])) is not None
    ]
    rewards = pd.DataFrame(table, columns=["id", "response", "reward"])
    assert np.isfinite(rewards.reward).all()
    rewards.to_parquet(out / "rewards.parquet", index=False)
