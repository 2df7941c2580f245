"""Sweeps over several settings and over choices, and plans that extend an earlier one."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import load
from tests.paths import TOY

FORTY = [n / 100 for n in range(1, 41)]


def planned(*overrides: str):
    return make_plan(load(TOY, overrides))


@pytest.fixture(scope="module")
def toy():
    return planned()


def test_several_settings_are_tried_in_every_combination():
    plan = planned("methods.dpo={sweep: {beta: [0.1, 0.5], learning_rate: [0.001, 0.002, 0.004]}}")
    cells = [cell for cell in plan.cells if cell.method == "dpo"]
    tried = {(cell.parameters["parameters"]["beta"], cell.parameters["training"]["learning_rate"]) for cell in cells}
    assert tried == {(beta, rate) for beta in (0.1, 0.5) for rate in (0.001, 0.002, 0.004)}
    assert "dpo beta=0.1 learning_rate=0.004" in {cell.label for cell in cells}
    assert {cell.sweep for cell in cells} == {cell.sweep_value for cell in cells} == {None}
    assert plan.budgets["dpo"] == 6


def test_a_choice_is_swept_as_a_number_is():
    plan = planned("methods.dpo={sweep: {schedule: [constant, cosine]}}")
    cells = [cell for cell in plan.cells if cell.method == "dpo"]
    assert {cell.label for cell in cells} == {"dpo schedule=constant", "dpo schedule=cosine"}
    assert {cell.parameters["training"]["schedule"] for cell in cells} == {"constant", "cosine"}


def test_a_swept_number_gives_the_stages_of_the_setting_itself(toy):
    """One setting of a sweep is the policy that the setting gives without a sweep."""
    swept = planned("methods.dpo={sweep: {beta: [0.1], learning_rate: [0.003]}}")
    fixed = planned("methods.dpo={parameters: {beta: 0.1}, training: {learning_rate: 0.003}}")
    assert swept.stages.keys() == fixed.stages.keys()


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{beta: [0.1], gama: [1]}", "unknown setting 'gama'"),
        ("{beta: [0.1, high]}", "beta"),
        ("{schedule: [constant, cosin]}", "schedule"),
        (f"{{beta: {FORTY}, learning_rate: {FORTY}}}", "1,600 combinations"),
        ("{beta: []}", "needs distinct values"),
    ],
)  # fmt: skip
def test_a_sweep_that_cannot_be_is_one_line(sweep, message):
    with pytest.raises(UsageError, match=message):
        planned(f"methods.dpo={{sweep: {sweep}}}")


@pytest.mark.parametrize(
    ("override", "mark"),
    [
        ("methods.ipo={}", "ipo"),
        ("seeds=[0, 7]", "seed 7"),
        ("methods.upo={sweep: {gamma: [0.5, 3.25]}}", "gamma=3.25"),
    ],
)
def test_an_extended_run_computes_the_extension_alone(override, mark):
    base = planned("seeds=[0]", "methods.upo={sweep: {gamma: [0.5]}}")
    more = planned("seeds=[0]", "methods.upo={sweep: {gamma: [0.5]}}", override)
    assert base.stages.keys() < more.stages.keys(), "nothing that was computed is computed again"
    added = [stage for key, stage in more.stages.items() if key not in base.stages]
    assert all(mark in stage.label for stage in added), [stage.label for stage in added]
    cells = [cell for cell in more.cells if cell.cell not in {other.cell for other in base.cells}]
    assert sum(stage.kind.startswith("align") for stage in added) == sum(cell.trained for cell in cells) > 0


def test_a_further_size_computes_what_is_of_that_size_alone(toy):
    layout = "{architecture: llama, layers: 1, hidden: 48, heads: 2, intermediate: 64, context: 96}"
    more = planned(f"sizes.further={layout}")
    assert toy.stages.keys() < more.stages.keys()
    added = [stage for key, stage in more.stages.items() if key not in toy.stages]
    assert added and all("further" in stage.label for stage in added), [stage.label for stage in added]
