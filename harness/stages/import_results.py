"""Stage ``import_results``: responses and item scores of one model from a file, joined with the evaluation prompts."""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.results.form import read_as
from harness.inputs.results.join import join
from harness.store.jsonl import read_jsonl
from harness.store.tables import write_generations, write_scores

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    import_module(parameters["module"])
    results = read_as(parameters["form"], inputs["file"], parameters["columns"])
    model = tuple(parameters["model"])
    own = [result for result in results if (result.generator, result.size, result.seed) == model]
    prompts = read_jsonl(inputs["data"] / "prompts.jsonl")
    joined = join(own, prompts, parameters["objectives"], parameters["template"])
    write_generations(out, joined.generations)
    write_scores(out, joined.items)
    counts = {"rows": len(own), "prompts": joined.prompts, "of": len(prompts), "dropped": dict(joined.dropped)}
    (out / "counts.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
