"""A policy whose weights are a linear combination of other policies'."""

from __future__ import annotations

import json

from harness.files import CHECKPOINT, count_parameters
from trainers.weights import combine


def run(parameters, inputs, out, progress=None) -> None:
    policies = [inputs[f"policy_{number}"] / CHECKPOINT for number in range(len(parameters["weights"]))]
    combine(policies, parameters["weights"], out / CHECKPOINT)
    (out / "result.json").write_text(json.dumps({"n_parameters": count_parameters(out / CHECKPOINT)}))
