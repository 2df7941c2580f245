"""Stage ``train_np_dpo``: a policy conditioned on contexts, trained on the pairs of the seen users."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.steering.kinds.np_dpo import NPDPO
from harness.inputs.steering.pairs import seen_pairs
from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from trainers.config import TrainConfig
from trainers.personal.np_dpo import train_np_dpo

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    settings = NPDPO(**parameters["settings"])
    pairs, owners = seen_pairs(inputs["data"])
    config = TrainConfig(
        learning_rate=settings.learning_rate,
        epochs=settings.epochs,
        optimizer="adamw",
        warmup_steps=10,
        seed=parameters["seed"],
        device=parameters["device"],
    )
    result = train_np_dpo(
        inputs["base"] / CHECKPOINT,
        pairs,
        owners,
        config,
        checkpoint_folder(out),
        beta=settings.beta,
        width=settings.width,
        progress=progress,
    )
    write_result(out, result)
