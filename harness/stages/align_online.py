"""Stage ``align_online``: a policy trained on its own samples, with the users' reward plus w times the designer's."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from harness.inputs.designer_rewards import Scorers
from harness.inputs.sample_rewards import SampleReward, user_reward
from harness.inputs.world import world_of
from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from trainers.align_online import align_online
from trainers.config import TrainConfig
from trainers.methods import Method, create

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


class Weighted(Method, Protocol):
    """A method on a policy's own samples."""

    weight: float
    """w, the weight of the designer's reward."""


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    method = cast(Weighted, create(parameters["method"], **parameters["parameters"]))
    world = world_of(inputs["data"])
    config = TrainConfig(**parameters["training"])
    user = user_reward(parameters, inputs, inputs["data"], config.device)
    scorers = Scorers.of_stage(parameters, inputs, config.device)
    result = align_online(
        method=method,
        base=inputs["base"] / CHECKPOINT,
        data=inputs["data"] / "pairs.jsonl",
        reward=SampleReward(user, parameters["weights"], parameters["objectives"], method.weight, scorers, world),
        config=config,
        out=checkpoint_folder(out),
        max_new_tokens=parameters["max_new_tokens"],
        progress=progress,
    )
    write_result(out, result)
