"""A policy whose weights are a linear combination of other policies'."""

from __future__ import annotations

from harness.files import CHECKPOINT, describe_checkpoint
from trainers.weights import combine


def run(parameters, inputs, out, progress=None) -> None:
    policies = [inputs[f"policy_{number}"] / CHECKPOINT for number in range(len(parameters["weights"]))]
    combine(policies, parameters["weights"], out / CHECKPOINT)
    describe_checkpoint(out)
