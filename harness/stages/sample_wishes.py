"""Stage ``sample_wishes``: responses of a conditioned policy to the training prompts, each asked with a wish of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np

from harness.stages.sample import write_samples
from harness.store.jsonl import read_jsonl
from trainers.data_steps import create
from trainers.data_steps.conditioning import conditioned
from trainers.data_steps.step import Online

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    step = cast(Online, create(parameters["step"]))
    facts = json.loads((inputs["asked"] / "prepared.json").read_text())
    plain = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "pairs.jsonl")}
    rng = np.random.default_rng(parameters["decoding"]["seed"])
    wishes = step.wishes(facts, len(plain), rng)
    asked = {key: conditioned(prompt, wish) for (key, prompt), wish in zip(plain.items(), wishes, strict=True)}
    write_samples(parameters, inputs, out, plain, asked)
