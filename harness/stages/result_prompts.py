"""Stage ``result_prompts``: the prompts of files of results, for a run that evaluates on those."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.results.form import read_results
from harness.inputs.results.prompts import digest, prompts_of
from harness.store.jsonl import write_jsonl

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    # The files are settings and no inputs: another file with the same prompts changes no key.
    files = [read_results(Path(file["path"]), file["columns"])[1] for file in parameters["files"]]
    rows = prompts_of(files)
    if digest(rows) != parameters["digest"]:
        raise ValueError("a file of results changed after the plan was made; run the command again")
    write_jsonl(out / "prompts.jsonl", rows)
