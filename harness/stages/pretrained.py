"""A base that exists already: a local folder or a hub model, kept in the store so that its bytes are its identity."""

from __future__ import annotations

from harness.store.checkpoints import describe_checkpoint
from harness.store.names import CHECKPOINT


def run(parameters, inputs, out, progress=None) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = inputs.get("model", parameters["model"])
    AutoModelForCausalLM.from_pretrained(source, dtype="auto").save_pretrained(out / CHECKPOINT)
    AutoTokenizer.from_pretrained(source).save_pretrained(out / CHECKPOINT)
    describe_checkpoint(out)
