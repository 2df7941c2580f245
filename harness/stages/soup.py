"""A policy whose weights are a linear combination of other policies'."""

from __future__ import annotations

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.edit.combination import combine


def run(parameters, inputs, out, progress=None) -> None:
    policies = [inputs[f"policy_{number}"] / CHECKPOINT for number in range(len(parameters["weights"]))]
    combine(policies, parameters["weights"], out / CHECKPOINT)
    describe_checkpoint(out)
