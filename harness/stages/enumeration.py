"""Every designer objective of every response of the oracle world, and the true frontier they imply.

The values come from the real scorers, so the frontier is the truth of exactly the problem that is measured.
"""

from __future__ import annotations

import numpy as np

from harness.inputs.designer_rewards import designer_values
from harness.records import TruthPoint, to_frame
from harness.store.files import oracle_world, save_problem
from suites.objectives import OBJECTIVES
from suites.oracle.frontier import Problem, frontier

BUDGETS = (0.05, 0.2, 0.5, 1.0, 2.0)
"""KL from the behaviour policy, nats, for which the frontier is drawn."""


def run(parameters, inputs, out, progress=None) -> None:
    world = oracle_world(inputs["data"])
    rows = world.indices("test")
    texts = [text for row in rows for text in world.responses(row)]
    designers, device = {}, parameters["device"]
    for name in parameters["objectives"]:
        values = np.array(designer_values(name, texts, inputs["toxicity"], device), dtype=float)
        designers[OBJECTIVES[name]] = values.reshape(len(rows), -1)
    problem = Problem.build(world.mu[rows], world.reward[rows], OBJECTIVES["win_rate"], designers)
    save_problem(out / "problem.npz", problem)
    points = [point for budget in BUDGETS for point in frontier(problem, budget)]
    to_frame(points, TruthPoint).to_parquet(out / "truth.parquet", index=False)
