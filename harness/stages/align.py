"""Stage ``align``: a policy trained by a method on preference data, from a given policy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import checkpoint_folder, write_result
from harness.store.names import CHECKPOINT
from harness.store.preferences import preferences
from trainers.align import align
from trainers.config import TrainConfig
from trainers.methods import create
from trainers.objective.base_cache import BaseCache, preparation

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

# Artifacts never change: the next policy on the same base and data uses the same cache.
_base_cache = lru_cache(maxsize=1)(BaseCache.from_base)


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    method = create(parameters["method"], **parameters["parameters"])
    config = TrainConfig(**parameters["training"])
    base, data = inputs["base"] / CHECKPOINT, preferences(inputs["data"])
    result = align(
        method=method,
        base=base,
        data=data,
        config=config,
        out=checkpoint_folder(out),
        reference_logps=[inputs[n] / "reference.parquet" for n in sorted(inputs) if n.startswith("reference")],
        rewards=inputs["rewards"] / "rewards.parquet" if "rewards" in inputs else None,
        objective_weights=parameters["weights"],
        prompt_states=inputs["prompt_states"] / "states.safetensors" if "prompt_states" in inputs else None,
        progress=progress,
        base_cache=_base_cache(base, data, preparation(config), method.needs.base_responses),
    )
    write_result(out, result)
