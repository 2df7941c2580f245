"""Sampled responses of a policy to the evaluation prompts, by vLLM."""

from __future__ import annotations

from contextlib import closing

from harness.inputs.generate import answer
from suites.generation.vllm_engine import VLLMGenerator


def run(parameters, inputs, out, progress=None) -> None:
    answer(_generate, parameters, inputs, out)


def _generate(checkpoint, prompts, decoding, device):
    # The engine takes the device that its package is built for.
    with closing(VLLMGenerator.load(checkpoint)) as generator:
        return generator.generate(prompts, decoding)
