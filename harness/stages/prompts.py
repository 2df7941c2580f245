"""Stage ``prompts``: evaluation prompts of a published set, with its reference responses if it has any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.prompt_sets import KNOWN, file_rows, hub_rows, read_prompts, read_references, rows_of
from harness.store.jsonl import write_jsonl

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    rows = file_rows(inputs["file"]) if "file" in inputs else hub_rows(KNOWN[parameters["set"]])
    references = read_references(file_rows(inputs["references"])) if "references" in inputs else None
    prompts = read_prompts(rows, references)[: parameters["limit"]]
    write_jsonl(out / "prompts.jsonl", (row for prompt in prompts for row in rows_of(prompt, parameters["template"])))
