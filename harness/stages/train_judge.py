"""A Bradley-Terry reward model on pairs that the policies never see."""

from __future__ import annotations

from harness.files import write_result
from trainers.config import TrainConfig
from trainers.reward_model import train_reward_model


def run(parameters, inputs, out, progress=None) -> None:
    result = train_reward_model(
        base=inputs["base"],
        data=inputs["data"] / "judge_pairs.jsonl",
        config=TrainConfig(**parameters["training"]),
        out=out,
        progress=progress,
    )
    write_result(out, result)
