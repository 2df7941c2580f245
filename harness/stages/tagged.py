"""A base that knows the tags which a data step puts into prompts."""

from __future__ import annotations

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.edit.added_tokens import extend


def run(parameters, inputs, out, progress=None) -> None:
    extend(inputs["base"] / CHECKPOINT, parameters["tags"], out / CHECKPOINT)
    describe_checkpoint(out)
