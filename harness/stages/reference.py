"""Log-probs of the frozen base on every dataset response: once per base and data, shared by every method."""

from __future__ import annotations

from harness.files import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reference import reference_logps


def run(parameters, inputs, out, progress=None) -> None:
    config = TrainConfig(**parameters["training"])
    reference_logps(inputs["base"] / CHECKPOINT, inputs["data"] / "pairs.jsonl", config, out / "reference.parquet")
