"""Stage ``generate``: sampled responses of a policy to the evaluation prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.generate import answer
from suites.generation.huggingface import generate

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    answer(generate, parameters, inputs, out)
