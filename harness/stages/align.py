"""One policy: a method with its hyperparameters and seed, from the common base."""

from __future__ import annotations

from harness.files import write_result
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create


def run(parameters, inputs, out, progress=None) -> None:
    result = align(
        method=create(parameters["method"], **parameters["parameters"]),
        base=inputs["base"],
        data=inputs["data"] / "pairs.jsonl",
        config=TrainConfig(**parameters["training"]),
        out=out,
        reference_logps=inputs["reference"] / "reference.parquet",
        rewards=inputs["rewards"] / "rewards.parquet" if "rewards" in inputs else None,
        objective_weights=parameters["weights"],
        progress=progress,
    )
    write_result(out, result)
