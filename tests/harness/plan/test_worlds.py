"""Plan of an experiment in several worlds: its parts are the plans of the single worlds."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import dump, load
from tests.paths import TOY


def test_each_world_has_the_keys_of_an_experiment_in_it_alone(tmp_path):
    several = make_plan(load(TOY, ["data.worlds=[0, 3]"]))
    alone = {seed: make_plan(load(TOY, [f"data.world.seed={seed}"])) for seed in (0, 3)}
    assert list(several.worlds) == [0, 3]
    for seed, plan in alone.items():
        assert list(several.worlds[seed].stages) == list(plan.stages)
        assert several.worlds[seed].experiment == plan.experiment
    assert {cell.cell for cell in several.cells} == {cell.cell for plan in alone.values() for cell in plan.cells}
    assert len({cell.cell for cell in several.cells}) == len(several.cells)
    assert any(stage.label.endswith("world 3") for stage in several.stages.values())
    (tmp_path / "resolved.yaml").write_text(dump(several.experiment))
    assert load(str(tmp_path / "resolved.yaml")) == several.experiment


def test_chosen_cells_are_chosen_in_their_world():
    plan = make_plan(load(TOY, ["data.worlds=[0, 3]"]))
    wanted = plan.worlds[3].cells[1].cell
    only = plan.only([wanted])
    assert [cell.cell for cell in only.cells] == [wanted]
    assert [len(part.cells) for part in only.worlds.values()] == [0, 1]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["data.worlds=[1]"], "at least two distinct seeds, not [1]"),
        (["data.worlds=[1, 1]"], "at least two distinct seeds, not [1, 1]"),
        (["data.worlds=[1, 2]", "data.world.seed=3"], "leave out world.seed"),
        (["data.worlds=[1, -2]"], "greater than or equal to 0"),
    ],
)
def test_what_cannot_be_worlds_is_refused(overrides, message):
    with pytest.raises(UsageError) as error:
        load(TOY, overrides)
    assert message in str(error.value)
