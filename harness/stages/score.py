"""Stage ``score_NAME`` of suites whose function takes its needs directly (`suites.registry`)."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.inputs.grammar import fail_off_grammar
from harness.inputs.world import world_of
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from harness.store.tables import read_generations, write_scores
from suites.registry import registered

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    import_module(parameters["module"])
    suite = registered(parameters["suite"])
    if suite.measure is None:
        raise ValueError(f"the suite {suite.name!r} declares no function")
    needs = {name: RESOLVE[name](parameters, inputs) for name in suite.needs}
    items, measures = suite.measure(**needs)
    if "generations" in needs and (world := world_of(inputs["data"])):
        items = fail_off_grammar(items, needs["generations"], world, suite.objectives)
    write_scores(out, items, measures)


def _references(parameters: Parameters, inputs: Inputs) -> dict[str, str | None]:
    return {row["id"]: row.get("reference") for row in read_jsonl(inputs["data"] / "prompts.jsonl")}


RESOLVE: dict[str, Callable[[Parameters, Inputs], Any]] = {
    "generations": lambda _, inputs: read_generations(inputs["generations"]),
    "references": _references,
    "policy": lambda _, inputs: inputs["policy"] / CHECKPOINT,
    "device": lambda parameters, _: parameters["device"],
}
"""The value of each direct need, from a stage's parameters and inputs."""
