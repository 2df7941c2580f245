"""One policy: a method with its hyperparameters and seed, from the policy it begins at."""

from __future__ import annotations

from harness.files import CHECKPOINT, checkpoint_folder, preferences, write_result
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create


def run(parameters, inputs, out, progress=None) -> None:
    result = align(
        method=create(parameters["method"], **parameters["parameters"]),
        base=inputs["base"] / CHECKPOINT,
        data=preferences(inputs["data"]),
        config=TrainConfig(**parameters["training"]),
        out=checkpoint_folder(out),
        reference_logps=[inputs[n] / "reference.parquet" for n in sorted(inputs) if n.startswith("reference")],
        rewards=inputs["rewards"] / "rewards.parquet" if "rewards" in inputs else None,
        objective_weights=parameters["weights"],
        progress=progress,
    )
    write_result(out, result)
