"""Stage ``reference``: log-probs of a frozen model on every training response.

Computed once per model and data, and shared by every method.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.names import CHECKPOINT
from harness.store.preferences import preferences
from trainers.config import TrainConfig
from trainers.objective.reference import reference_logps

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    config = TrainConfig(**parameters["training"], device=parameters["device"])
    table, token_level = out / "reference.parquet", parameters.get("token_level", False)
    reference_logps(inputs["base"] / CHECKPOINT, preferences(inputs["data"]), config, table, token_level)
