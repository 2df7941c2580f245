"""The evaluation prompts of a published set, with its reference responses where it has them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.inputs.prompt_sets import KNOWN, file_rows, hub_rows, read_prompts, read_references, render
from harness.store.jsonl import write_jsonl


def run(parameters: Mapping[str, Any], inputs: Mapping[str, Path], out: Path, progress: object = None) -> None:
    rows = file_rows(inputs["file"]) if "file" in inputs else hub_rows(KNOWN[parameters["set"]])
    references = read_references(file_rows(inputs["references"])) if "references" in inputs else None
    prompts = read_prompts(rows, references)[: parameters["limit"]]
    write_jsonl(out / "prompts.jsonl", (render(prompt, parameters["template"]) for prompt in prompts))
