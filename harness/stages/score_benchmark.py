"""Benchmark accuracy of the policy, through lm-eval."""

from __future__ import annotations

from harness.files import CHECKPOINT, write_scores
from suites.benchmark import benchmark


def run(parameters, inputs, out, progress=None) -> None:
    folder = inputs["data"] / "tasks"
    tasks = sorted(path.stem for path in folder.glob("*.yaml"))
    write_scores(out, benchmark(inputs["policy"] / CHECKPOINT, folder, tasks))
