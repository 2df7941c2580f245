"""Report of several worlds: places, orders and accidents against planted gaps."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from harness.records import Measure, to_frame
from reports import build as building
from reports.build import build
from reports.frontiers.gaps import best_of, gap_tables
from reports.grids import study
from reports.worlds import accidents, orders, over_worlds, read_places, stability, worlds_of
from tests.reports import synthetic
from tests.reports.synthetic import MadeMethod

METHODS = [MadeMethod(name, 0.05) for name in ("dpo", "kto", "upo")]
GAPS = {"dpo": [0.10, 0.11, 0.12, 0.11], "kto": [0.20, 0.21, 0.05, 0.20], "upo": [0.30, 0.31, 0.32, 0.31]}
"""KTO is second in three worlds and first in world 7."""
SEEDS = (2, 5, 7, 11)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for number, seed in enumerate(SEEDS):
        records = synthetic.make(METHODS, ["tiny"], prompts=8, with_generations=False, seed=seed)
        gaps = [
            Measure("exact", "gap_at_budget", GAPS[method][number] + 0.001 * run, cell)
            for cell, method, run in zip(records.cells.cell, records.cells.method, records.cells.seed, strict=True)
        ]
        synthetic.write(folder / "worlds" / str(seed), replace(records, measures=to_frame(gaps)))
    (folder / "manifest.json").write_text('{"experiment": {"name": "worlds", "title": "Worlds <b>"}}')
    return folder


def test_worlds_are_read_in_the_order_of_their_seeds(run, tmp_path):
    assert list(worlds_of(run)) == list(SEEDS) and worlds_of(tmp_path) == {}


def test_places_and_gaps_are_the_planted_ones(run):
    (places,) = read_places(run)
    assert places.worlds == SEEDS
    np.testing.assert_allclose(places.gaps["kto"], np.array(GAPS["kto"]) + 0.0005, atol=1e-12)
    assert places.places["kto"].tolist() == [2, 2, 1, 2] and places.places["dpo"].tolist() == [1, 1, 2, 1]
    rows = {row.method: row.values for row in stability([places]).rows}
    assert list(rows) == ["dpo", "kto", "upo"]
    assert rows["kto"][3] == 1.75 and rows["kto"][4].text == "1 to 2" and rows["kto"][5].text == "1 of 4"
    assert rows["upo"][6].value == 0


def test_worlds_rank_at_the_budget_at_which_a_single_world_does(tmp_path):
    """Three settings of most methods, two of one: the best of three, and not of the fewest."""
    methods = [
        MadeMethod("dpo", 0.05, (0.5, 1.0)),
        *(MadeMethod(name, 0.05, (0.5, 1.0, 2.0)) for name in ("kto", "upo")),
    ]
    records = synthetic.make(methods, ["tiny"], prompts=8, with_generations=False)
    synthetic.write(tmp_path / "worlds" / "0", records)
    (places,) = read_places(tmp_path)
    (world,) = [table for table in (gap_tables(study(records), "tiny"),) if table]
    for method, table in world.items():
        assert places.gaps[method] == pytest.approx([best_of(table, 3).mean()])
    assert best_of(world["upo"], 3).mean() != best_of(world["upo"], 2).mean()


def test_orders_say_where_they_hold(run):
    rows = {row.values[1:3]: row.values for row in orders(read_places(run)).rows}
    assert rows["DPO", "UPO"][3].text == "4 of 4" and rows["DPO", "UPO"][5] == "in every world"
    assert rows["DPO", "KTO"][3].text == "3 of 4" and rows["DPO", "KTO"][6] == "7"
    assert rows["DPO", "KTO"][5] == "not separable"
    expected = over_worlds(np.array(GAPS["kto"]) - np.array(GAPS["dpo"]), among=3)
    assert rows["DPO", "KTO"][4].low == pytest.approx(expected.low)


def test_an_accident_of_one_world_is_named(run):
    assert accidents(read_places(run)) == ["World 7 alone, or with few others, puts KTO before DPO (1 of 4) (tiny)."]


def test_the_report_links_every_world_and_escapes_its_title(run, tmp_path, monkeypatch):
    """The reports of the single worlds are tested elsewhere."""
    shutil.copytree(run, tmp_path / "run")

    def write(records, manifest, folder, *_):
        folder.mkdir()
        (folder / "index.html").write_text("a world")

    monkeypatch.setattr(building, "_write", write)
    page = build(tmp_path / "run", resamples=20)
    text = page.read_text(encoding="utf-8")
    assert "<h1>Worlds &lt;b&gt;</h1>" in text and "KTO before DPO (1 of 4)" in text
    for seed in SEEDS:
        assert f"../worlds/{seed}/report/index.html" in text
        assert (tmp_path / "run" / "worlds" / str(seed) / "report" / "index.html").read_text() == "a world"
    assert (page.parent / "tables" / "stability.csv").is_file() and "KTO before DPO" in (
        page.parent / "report.md"
    ).read_text()
