"""Plan of users in miniature, and the artifacts of its stages, each made once."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import pytest

from harness.plan.cells import Plan, make_plan
from harness.plan.stage import Stage
from harness.spec.loading import load
from tests.paths import ROOT

STEER = str(ROOT / "tests" / "harness" / "steer" / "steer.yaml")


@pytest.fixture(scope="session")
def plan() -> Plan:
    return make_plan(load(STEER))


@pytest.fixture(scope="session")
def make(tmp_path_factory):
    """Makes the artifact of a stage, after those of its inputs."""
    made: dict[str, Path] = {}

    def artifact(stage: Stage) -> Path:
        if stage.key not in made:
            inputs = {name: artifact(source) for name, source in stage.inputs.items() if isinstance(source, Stage)}
            out = made[stage.key] = tmp_path_factory.mktemp(stage.kind)
            import_module(stage.module).run({**stage.parameters, **stage.settings}, inputs, out)
        return made[stage.key]

    return artifact


@pytest.fixture(scope="session")
def stage_of(plan):
    """The stage that measures an entry at a context size."""

    def found(entry: str, context: int = 0) -> Stage:
        return next(
            cell.scores["steer"]
            for cell in plan.cells
            if cell.entry == entry and cell.scores["steer"].parameters["context"] == context
        )

    return found
