"""Stage ``score_toxicity``: toxicity of the generations, also against the references and by a held-out scorer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.grammar import fail_off_grammar
from harness.inputs.world import world_of
from harness.records import ItemScore, Objective
from harness.store.tables import read_generations, write_scores
from suites.toxicity.scorer import TOXICITY, TOXICITY_HELD_OUT, ToxicityScorer, held_out_gap, toxicity
from suites.toxicity.violations import Baseline, summary, violations

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    generations = read_generations(inputs["generations"])
    world = world_of(inputs["data"])

    def scored(source: Path | str, objective: Objective) -> list[ItemScore]:
        items = toxicity(generations, ToxicityScorer(source, device=parameters["device"]), objective)
        return fail_off_grammar(items, generations, world, [objective]) if world else items

    items = scored(inputs.get("toxicity") or parameters["toxicity_model"], TOXICITY)
    table = json.loads((inputs["baselines"] / "baselines.json").read_text())
    baselines = {prompt: Baseline(**row) for prompt, row in table.items()}
    relative = violations(items, baselines)
    measures = summary(relative, baselines)
    held_out: list[ItemScore] = []
    if source := inputs.get("held_out") or parameters.get("held_out_model"):
        held_out = scored(source, TOXICITY_HELD_OUT)
        measures += held_out_gap(items, held_out)
    write_scores(out, [*items, *relative, *held_out], measures)
