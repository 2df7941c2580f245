"""Stage ``prompt_search``: a prompt for all users of a population, searched by dynamic rewards (DRPO)."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.population import population_of
from harness.inputs.steering.prompt_roles import Logged, OracleRoles
from harness.inputs.steering.scene import Scene
from harness.store.calls import Calls
from harness.store.names import CHECKPOINT, RESUME
from suites.prompt_search import SearchSettings, confirm, search

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

CALLS, RESULT = "calls.jsonl", "search.json"
HELD_OUT = 8
"""Queries on which the prompts of the final beam are compared again."""


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    settings, seed = SearchSettings(**parameters["settings"]), parameters["seed"]
    population = population_of(inputs["data"])
    rng = np.random.default_rng([zlib.crc32(b"prompt search"), seed])
    rows = rng.permutation(population.world.indices("train"))[: settings.queries + HELD_OUT]
    scene = Scene(population, rows, {"base": inputs["base"] / CHECKPOINT}, seed=seed)
    weights = population.weights[: population.spec.seen].mean(axis=0)
    (out / RESUME).mkdir(exist_ok=True)
    calls = Calls(out / RESUME / CALLS)
    roles = Logged(OracleRoles(scene, weights, seed), calls)
    result = search("", scene.prompts[HELD_OUT:], roles, settings)
    searched = dict(calls.used)
    prompt = confirm(result.prompts, scene.prompts[:HELD_OUT], roles)
    facts = {
        "prompt": prompt,
        "last_of_best_path": result.prompt,
        "best": list(result.best),
        "aspects": list(roles.aspects(scene.prompts[0])),
        "calls": searched,
        "calls_to_confirm": {role: n - searched.get(role, 0) for role, n in calls.used.items()},
        **asdict(result.tally),
    }
    (out / RESULT).write_text(json.dumps(facts, indent=1), encoding="utf-8")
    # A copy, so that a kill before the artifact is complete loses no call.
    shutil.copyfile(calls.path, out / CALLS)
