"""Sampled responses of a policy to the evaluation prompts, by vLLM."""

from __future__ import annotations

from harness.generating import answer
from suites.vllm_generation import VLLMGenerator


def run(parameters, inputs, out, progress=None) -> None:
    answer(lambda model, prompts, decoding: VLLMGenerator.load(model).generate(prompts, decoding), parameters, inputs, out)
