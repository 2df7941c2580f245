"""Stage ``enumeration``: designer objectives of every response of the oracle world, and the true frontier.

The values come from the scorers that measure the policies, so the frontier is exact for the measured problem.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.inputs.designer_rewards import Scorers, designer_values, objective_of
from harness.inputs.world import oracle_world, save_problem
from harness.records import Objective, TruthPoint, to_frame
from suites.oracle.frontier import Problem, frontier

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

BUDGETS = (0.05, 0.2, 0.5, 1.0, 2.0)
"""KL from the behaviour policy, nats, for which the frontier is drawn."""

WIN_RATE = Objective("win_rate", "Win rate against the behaviour policy", "maximize", "probability", (0.0, 1.0), "user")


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    world = oracle_world(inputs["data"])
    rows = world.indices("test")
    prompts, texts = zip(
        *((world.prompts[row].text, text) for row in rows for text in world.responses(row)), strict=True
    )
    designers, scorers = {}, Scorers.of_stage(parameters, inputs, parameters["device"])
    for name, declared in parameters["objectives"].items():
        values = np.array(designer_values(name, declared, prompts, texts, scorers), dtype=float)
        designers[objective_of(name, declared)] = values.reshape(len(rows), -1)
    problem = Problem.build(world.mu[rows], world.reward[rows], WIN_RATE, designers)
    save_problem(out / "problem.npz", problem)
    points = [point for budget in BUDGETS for point in frontier(problem, budget)]
    to_frame(points, TruthPoint).to_parquet(out / "truth.parquet", index=False)
