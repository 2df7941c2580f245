"""Stage ``judge_states``: states of the frozen base at the ends of the judge's pairs, which no policy is trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.names import CHECKPOINT
from trainers.config import TrainConfig
from trainers.reward_head import write_pair_states

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

STATES = "states.safetensors"


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    config = TrainConfig(**parameters["training"])
    write_pair_states(inputs["base"] / CHECKPOINT, inputs["data"] / "judge_pairs.jsonl", config, out / STATES)
