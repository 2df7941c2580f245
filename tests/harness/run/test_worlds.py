"""Results of a run in several worlds: one run folder for each world, replaced together."""

from __future__ import annotations

import json

import pytest
from rich.console import Console

from harness.errors import Exit
from harness.plan.cells import make_plan
from harness.records import Records
from harness.run import session
from harness.run.formats import finished_formats
from harness.run.scheduler import Outcome
from harness.spec.loading import load
from harness.store.store import Store
from tests.paths import TOY


@pytest.mark.parametrize("worlds", [[0, 3], []])
def test_every_world_has_its_records_and_manifest(worlds, tmp_path):
    """Nothing was measured here: every planned cell still has its row, in its own world."""
    plan = make_plan(load(TOY, [f"data.worlds={worlds}"]))
    store, out, nothing = Store(tmp_path / "store"), tmp_path / "run", Outcome({}, {}, 0.0)
    (out / "worlds" / "9").mkdir(parents=True)
    measured = session._collect(plan, store, nothing)
    assert session._publish(plan, store, nothing, measured, out, Console(quiet=True)) is Exit.NOTHING
    folders = [out / "worlds" / str(seed) for seed in worlds] or [out]
    parts = list(plan.worlds.values()) or [plan]
    for folder, part in zip(folders, parts, strict=True):
        assert set(Records.read(folder / "records").cells.cell) == {cell.cell for cell in part.cells}
        assert json.loads((folder / "manifest.json").read_text())["expected_cells"] == len(part.cells)
    assert json.loads((out / "manifest.json").read_text())["expected_cells"] == len(plan.cells)
    assert sorted(path.name for path in (out / "worlds").glob("*")) == [str(seed) for seed in worlds]
    assert (out / "records").is_dir() == (not worlds)


def test_a_finished_run_in_the_oracle_world_has_no_prompt_formats(tmp_path, monkeypatch):
    monkeypatch.setattr(Store, "has", lambda *_: True)
    assert finished_formats(make_plan(load(TOY)), Store(tmp_path)) == {}
