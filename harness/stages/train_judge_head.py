"""Stage ``train_judge_head``: a Bradley-Terry head on the cached states of the frozen base."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.stages.judge_states import STATES
from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reward_head import read_pair_states, train_reward_head

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    config, states = TrainConfig(**parameters["training"]), read_pair_states(inputs["states"] / STATES)
    write_result(out, train_reward_head(inputs["base"] / CHECKPOINT, states, config, checkpoint_folder(out)))
