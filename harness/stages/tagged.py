"""A base that knows the tags which a data step puts into prompts."""

from __future__ import annotations

import json

from harness.files import CHECKPOINT, count_parameters
from trainers.vocabulary import extend


def run(parameters, inputs, out, progress=None) -> None:
    extend(inputs["base"] / CHECKPOINT, parameters["tags"], out / CHECKPOINT)
    (out / "result.json").write_text(json.dumps({"n_parameters": count_parameters(out / CHECKPOINT)}))
