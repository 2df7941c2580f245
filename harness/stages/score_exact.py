"""A policy's exact expectations, its KL from the behaviour policy and its gap to the true frontier."""

from __future__ import annotations

import numpy as np

from harness.files import CHECKPOINT, load_problem, oracle_world, write_scores
from suites.oracle.exact import PolicyTable, measures
from trainers.scoring import response_logps


def run(parameters, inputs, out, progress=None) -> None:
    world = oracle_world(inputs["data"])
    rows = world.indices("test")
    prompts = [world.prompts[row].text for row in rows]
    # The trainer joins prompt and response as they are, so the space between them belongs to the response.
    responses = [[f" {text}" for text in world.responses(row)] for row in rows]
    logps = np.stack(response_logps(inputs["policy"] / CHECKPOINT, prompts, responses))
    problem = load_problem(inputs["enumeration"] / "problem.npz")
    write_scores(out, measures=measures(PolicyTable.from_logps(logps), problem))
