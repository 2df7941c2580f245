"""Log-probs of the frozen base on every dataset response: once per base and data, shared by every method."""

from __future__ import annotations

from harness.files import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reference import reference_logps


def run(parameters, inputs, out, progress=None) -> None:
    config = TrainConfig(**parameters["training"])
    token_level = parameters.get("token_level", False)
    pairs, table = inputs["data"] / "pairs.jsonl", out / "reference.parquet"
    reference_logps(inputs["base"] / CHECKPOINT, pairs, config, table, token_level)
