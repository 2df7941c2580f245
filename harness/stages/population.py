"""Stage ``population``: the world's data with the pairs of a population of users in place of its own."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.population import spaced, write_population
from harness.inputs.world import oracle_world
from harness.store.jsonl import write_jsonl
from suites.oracle.population import Population, PopulationSpec

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    for name in ("world.json", "prompts.jsonl"):
        shutil.copyfile(inputs["data"] / name, out / name)
    shutil.copytree(inputs["data"] / "tasks", out / "tasks")
    world = oracle_world(out)
    population = Population.build(world, PopulationSpec(**parameters["population"]))
    write_population(out, population)
    write_jsonl(out / "pairs.jsonl", spaced(population.pairs(parameters["pairs"], world.spec.seed)))
    write_jsonl(out / "contexts.jsonl", spaced(population.contexts(world.spec.seed)))
