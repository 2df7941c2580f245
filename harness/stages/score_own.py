"""Stage ``score_OBJECTIVE`` of an experiment's own objective: one value for every generation."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.grammar import fail_off_grammar
from harness.inputs.own_scorers import own_values, revision_of
from harness.inputs.world import world_of
from harness.records import Measure, Objective, Status
from harness.store.tables import read_generations, write_scores
from suites.custom.scorer import Running, Scored
from suites.items import is_scorable, item_score

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

UNSCORED = Scored(None)


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    low, high = parameters["bounds"]
    objective = Objective(parameters["objective"], "", parameters["direction"], "", (low, high))
    declared, generations = parameters["scorer"], read_generations(inputs["generations"])
    running = Running(parameters["device"], inputs.get("answers"), parameters.get("limits", {}))
    scorable = [generation for generation in generations if is_scorable(generation)]
    prompts, responses = [g.prompt for g in scorable], [g.response for g in scorable]
    scored = own_values(declared, objective.bounds, prompts, responses, inputs, running)
    by_item = {generation.item: value for generation, value in zip(scorable, scored, strict=True)}
    how = {"scorer": declared["kind"], "revision": revision_of(declared, inputs)}
    items = []
    for generation in generations:
        value = by_item.get(generation.item, UNSCORED)
        detail = how | ({"reason": value.reason} if value.reason else {})
        items.append(item_score(objective, generation, value.value, Status.ERROR, detail))
    if world := world_of(inputs["data"]):
        items = fail_off_grammar(items, generations, world, [objective])
    # An answer to equal texts is paid for once.
    cost = sum(dict(zip(zip(prompts, responses, strict=True), (v.cost for v in scored), strict=True)).values())
    write_scores(out, items, [Measure("summary", f"{objective.name}_cost", cost)] if cost else [])
