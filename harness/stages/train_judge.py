"""A Bradley-Terry reward model on pairs that the policies never see."""

from __future__ import annotations

from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reward_model import train_reward_model


def run(parameters, inputs, out, progress=None) -> None:
    result = train_reward_model(
        base=inputs["base"] / CHECKPOINT,
        data=inputs["data"] / "judge_pairs.jsonl",
        config=TrainConfig(**parameters["training"]),
        out=checkpoint_folder(out),
        progress=progress,
    )
    write_result(out, result)
