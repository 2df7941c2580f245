"""Stage ``tagged``: a base whose vocabulary has the tags that a data step puts into prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.edit.added_tokens import extend

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    extend(inputs["base"] / CHECKPOINT, parameters["tags"], out / CHECKPOINT)
    describe_checkpoint(out)
