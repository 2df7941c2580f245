"""Stage ``generate_vllm``: sampled responses of a policy to the evaluation prompts, by vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.generate import answer
from harness.records import Generation
from suites.generation.decoding import Decoding
from suites.generation.vllm_engine import VLLMGenerator
from trainers.tokens.dialogue import Text

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    answer(_generate, parameters, inputs, out)


def _generate(checkpoint: Path, prompts: Mapping[str, Text], decoding: Decoding, device: str) -> list[Generation]:
    # The engine takes the device that its package is built for.
    with closing(VLLMGenerator.load(checkpoint)) as generator:
        return generator.generate(prompts, decoding)
