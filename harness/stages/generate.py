"""Sampled responses of a policy to the evaluation prompts."""

from __future__ import annotations

from harness.inputs.generate import answer
from suites.generation.huggingface import generate


def run(parameters, inputs, out, progress=None) -> None:
    answer(generate, parameters, inputs, out)
