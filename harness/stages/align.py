"""One policy: a method with its hyperparameters and seed, from the common base."""

from __future__ import annotations

from harness.files import CHECKPOINT, checkpoint_folder, write_result
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create


def run(parameters, inputs, out, progress=None) -> None:
    result = align(
        method=create(parameters["method"], **parameters["parameters"]),
        base=inputs["base"] / CHECKPOINT,
        data=inputs["data"] / "pairs.jsonl",
        config=TrainConfig(**parameters["training"]),
        out=checkpoint_folder(out),
        reference_logps=[inputs["reference"] / "reference.parquet"] if "reference" in inputs else [],
        rewards=inputs["rewards"] / "rewards.parquet" if "rewards" in inputs else None,
        objective_weights=parameters["weights"],
        progress=progress,
    )
    write_result(out, result)
