"""The oracle world of a data folder, and its enumerated responses as one file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from harness.records import Objective
from suites.oracle.frontier import Problem
from suites.oracle.world import World, WorldSpec


def write_spec(out: Path, world: World) -> None:
    """Write the specification that `oracle_world` builds the world from."""
    (out / "world.json").write_text(json.dumps(asdict(world.spec)))


def world_of(folder: Path) -> World | None:
    """The oracle world whose data sets lie in `folder`; None for data of another source."""
    return oracle_world(folder) if (folder / "world.json").exists() else None


def oracle_world(folder: Path) -> World:
    """The oracle world whose data sets lie in `folder`."""
    return World.build(WorldSpec(**json.loads((folder / "world.json").read_text())))


def save_problem(path: Path, problem: Problem) -> None:
    """Write an enumerated oracle problem as arrays, with its objectives as JSON texts."""
    import numpy as np

    objectives = [json.dumps(asdict(objective)) for objective in problem.objectives]
    np.savez_compressed(path, mu=problem.mu, raw=problem.raw, objectives=objectives)


def load_problem(path: Path) -> Problem:
    """Read the problem that `save_problem` wrote."""
    import numpy as np

    with np.load(path) as stored:
        return Problem(stored["mu"], tuple(map(_objective, stored["objectives"])), stored["raw"])


def _objective(text: str) -> Objective:
    fields = json.loads(text)
    return Objective(**{**fields, "bounds": tuple(fields["bounds"])})
