"""Stage ``train_judge``: a Bradley-Terry reward model, trained on pairs that no policy is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reward_model import train_reward_model

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    result = train_reward_model(
        base=inputs["base"] / CHECKPOINT,
        data=inputs["data"] / "judge_pairs.jsonl",
        config=TrainConfig(**parameters["training"]),
        out=checkpoint_folder(out),
        progress=progress,
    )
    write_result(out, result)
