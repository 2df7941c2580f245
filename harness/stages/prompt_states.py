"""Hidden states of a base at the end of every training prompt: once per base and data, for every value head."""

from __future__ import annotations

from harness.store.names import CHECKPOINT
from harness.store.preferences import preferences
from trainers.config import TrainConfig
from trainers.objective.prompt_states import write_prompt_states


def run(parameters, inputs, out, progress=None) -> None:
    config = TrainConfig(**parameters["training"], device=parameters["device"])
    data = preferences(inputs["data"])
    write_prompt_states(inputs["base"] / CHECKPOINT, data, config, out / "states.safetensors")
