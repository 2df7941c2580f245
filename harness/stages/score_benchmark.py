"""Benchmarks of the policy through lm-eval: the world's own task, or the published ones the experiment names."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

from harness.files import CHECKPOINT, write_scores
from suites.benchmark import benchmark
from suites.benchmark_data import write_tasks


def run(parameters, inputs, out, progress=None) -> None:
    policy = inputs["policy"] / CHECKPOINT
    if "tasks" not in parameters:
        folder = inputs["data"] / "tasks"
        write_scores(out, benchmark(policy, folder, sorted(path.stem for path in folder.glob("*.yaml"))))
        return
    files = defaultdict(dict)
    for name, path in inputs.items():
        if "/" in name:
            owner, part = name.split("/")
            files[owner][part] = path
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        tasks = write_tasks(parameters["tasks"], files, folder, parameters["fewshot"])
        limits = {"limit": parameters["limit"], "batch_size": parameters["batch_size"]}
        rows = benchmark(policy, folder, tasks, **limits, allow_code_execution=parameters["allow_code_execution"])
        write_scores(out, rows)
