"""Stage ``prompt_states``: hidden states of a base at the end of every training prompt.

Computed once per base and data, for every value head.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.names import CHECKPOINT
from harness.store.preferences import preferences
from trainers.config import TrainConfig
from trainers.objective.prompt_states import write_prompt_states

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    config = TrainConfig(**parameters["training"], device=parameters["device"])
    data = preferences(inputs["data"])
    write_prompt_states(inputs["base"] / CHECKPOINT, data, config, out / "states.safetensors")
