"""Stage ``pretrained``: a copy in the store of a local or hub model, so that its bytes are its identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from trainers.tokens.loading import load_tokenizer

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    from transformers import AutoModelForCausalLM

    source = inputs.get("model", parameters["model"])
    AutoModelForCausalLM.from_pretrained(source, dtype="auto").save_pretrained(out / CHECKPOINT)
    load_tokenizer(source).save_pretrained(out / CHECKPOINT)
    describe_checkpoint(out)
