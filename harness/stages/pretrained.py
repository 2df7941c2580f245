"""A base that exists already: a local folder or a hub model, kept in the store so that its bytes are its identity."""

from __future__ import annotations

import json

from harness.files import CHECKPOINT, count_parameters


def run(parameters, inputs, out, progress=None) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    AutoModelForCausalLM.from_pretrained(parameters["model"], dtype="auto").save_pretrained(out / CHECKPOINT)
    AutoTokenizer.from_pretrained(parameters["model"]).save_pretrained(out / CHECKPOINT)
    (out / "result.json").write_text(json.dumps({"n_parameters": count_parameters(out / CHECKPOINT)}))
