"""Lexical style of the generations."""

from __future__ import annotations

from harness.files import read_generations, write_scores
from suites.style import style


def run(parameters, inputs, out, progress=None) -> None:
    write_scores(out, *style(read_generations(inputs["generations"])))
