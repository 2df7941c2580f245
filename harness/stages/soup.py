"""Stage ``soup``: a policy whose weights are a linear combination of other policies'."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.edit.combination import combine

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    policies = [inputs[f"policy_{number}"] / CHECKPOINT for number in range(len(parameters["weights"]))]
    combine(policies, parameters["weights"], out / CHECKPOINT)
    describe_checkpoint(out)
