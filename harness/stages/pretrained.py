"""A base that exists already: a local folder or a hub model, kept in the store so that its bytes are its identity."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT
from tokens.loading import load_tokenizer


def run(parameters: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, progress: object = None) -> None:
    from transformers import AutoModelForCausalLM

    source = inputs.get("model", parameters["model"])
    AutoModelForCausalLM.from_pretrained(source, dtype="auto").save_pretrained(out / CHECKPOINT)
    load_tokenizer(source).save_pretrained(out / CHECKPOINT)
    describe_checkpoint(out)
