"""Stage ``generate_endpoint``: responses of a served model to the evaluation prompts, through an endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.generate import answer_turns, conversations
from harness.records import Generation, Measure
from harness.store.jsonl import read_jsonl
from harness.store.tables import write_generations, write_scores
from suites.generation.decoding import Decoding
from suites.judges.served import ServedModel
from trainers.tokens.dialogue import Text, as_messages, readable

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    rows = read_jsonl(inputs["data"] / "prompts.jsonl")
    model = ServedModel.load(
        parameters["model"], parameters["endpoint"], parameters["limits"], inputs["answers"], parameters["system"]
    )
    costs: list[float] = []

    def ask(prompts: Mapping[str, Text], decoding: Decoding) -> list[Generation]:
        messages = {key: as_messages(prompt) for key, prompt in prompts.items()}
        generations, cost = model.generate(messages, decoding)
        costs.append(cost)
        return generations

    generations = answer_turns(ask, rows, Decoding(**parameters["decoding"]))
    references = {row["id"]: row.get("reference") or "" for row in rows}
    asked = conversations(rows, generations)
    generations = [replace(g, prompt=readable(asked[g.item]), reference=references[g.cluster]) for g in generations]
    write_generations(out, generations)
    write_scores(out, (), [Measure("summary", "generation_cost", sum(costs))] if sum(costs) else [])
