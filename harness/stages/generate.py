"""Sampled responses of a policy to the evaluation prompts."""

from __future__ import annotations

from harness.generating import answer
from suites.generation import generate


def run(parameters, inputs, out, progress=None) -> None:
    answer(generate, parameters, inputs, out)
