"""Stage ``pretrained``: a copy in the store of a local or hub model, so that its bytes are its identity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.bases import write_base
from trainers.model.loading import weights_hash
from trainers.tokens.loading import load_tokenizer

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    from transformers import AutoModelForCausalLM

    source = inputs.get("model", parameters["model"])
    model, tokenizer = AutoModelForCausalLM.from_pretrained(source, dtype="auto"), load_tokenizer(source)
    origin = f"{parameters['model']} (weights sha256 {weights_hash(model)})"
    write_base(model, tokenizer, out, parameters.get("template") == "none", origin)
