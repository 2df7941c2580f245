"""The default oracle world and a problem on its test prompts, shared by the tests."""

from __future__ import annotations

import numpy as np
import pytest

from harness.records import Objective
from suites.oracle.frontier import Problem
from suites.oracle.grammar import ELABORATION, JARGON, nominal_toxicity
from suites.oracle.world import World


@pytest.fixture(scope="session")
def world() -> World:
    return World.build()


@pytest.fixture(scope="session")
def problem(world: World) -> Problem:
    """Test prompts with word-list toxicity (minimised) and a made-up plainness in its own unit (maximised)."""
    rows = world.indices("test")
    toxicity = np.array([[nominal_toxicity(text) for text in world.responses(x)] for x in rows])
    plainness = np.broadcast_to(10.0 - 5.0 * JARGON - 3.0 * (ELABORATION == 3) - (ELABORATION == 2), toxicity.shape)
    return Problem.build(
        world.mu[rows],
        world.reward[rows],
        Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user"),
        {
            Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0)): toxicity,
            Objective("plainness", "Plainness", "maximize", "points", (0.0, 20.0)): plainness,
        },
    )
