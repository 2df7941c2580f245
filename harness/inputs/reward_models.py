"""The reward model that a stage was given, asked the same way whatever the stage wants it for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.names import CHECKPOINT

if TYPE_CHECKING:
    from suites.judges.reward_model import RewardModelJudge


def reward_model(parameters: Mapping, inputs: Mapping[str, Path], device: str) -> RewardModelJudge:
    """The judge of kind ``reward_model``, on a device.

    One trained here reads prompt and response joined, as it did in training; any other one is asked by its own chat
    template, if it has one.
    """
    from suites.judges.reward_model import RewardModelJudge

    if "judge" in inputs:
        return RewardModelJudge(inputs["judge"] / CHECKPOINT, device=device)
    return RewardModelJudge(inputs.get("model", parameters["model"]), chat=True, device=device)
