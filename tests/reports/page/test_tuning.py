"""Tables of the differences that a run can show and of best settings at the edges of their grids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from harness.records import Measure, to_frame
from reports.analysis import analyse
from reports.findings import caveats
from reports.page.tables.tuning import detectable, grid_edges, power
from tests.reports import synthetic
from tests.reports.conftest import DRAWS
from tests.reports.synthetic import METHODS


def made(seeds=(0, 1, 2), **options):
    return synthetic.make(
        methods=METHODS[1:5], sizes=["tiny"], seeds=seeds, prompts=30, with_generations=False, **options
    )


def planted(records, best: float):
    """Gaps of UPO with their minimum at one value of its sweep, and of MODPO at its lowest."""
    cells = records.cells[records.cells.method.isin(["upo", "modpo"])]
    target = {"upo": best, "modpo": 0.25}
    gaps = [
        Measure("exact", "gap_at_budget", 0.05 + 0.01 * abs(value - target[method]), cell)
        for cell, method, value in zip(cells.cell, cells.method, cells.sweep_value, strict=True)
    ]
    return replace(records, measures=to_frame(gaps))


@pytest.mark.parametrize(("best", "edge"), [(0.5, "lowest"), (1.0, ""), (4.0, "highest")])
def test_a_best_setting_at_an_edge_is_named(best, edge):
    table = grid_edges(analyse(planted(made(), best), DRAWS))
    rows = {row.method: row.values for row in table.rows}
    assert rows["upo"][3] == "0.5, 1, 2, 4" and rows["upo"][4].value == best and rows["upo"][5] == edge
    assert rows["modpo"][5] == "lowest"


def test_a_run_without_gaps_has_no_grids():
    assert grid_edges(analyse(replace(made(), measures=made().measures[:0]), DRAWS)) is None


def test_what_a_run_can_show_shrinks_with_seeds():
    """The median difference of hypervolumes; every one is larger than half of its own interval."""
    medians = []
    for seeds in (range(3), range(12)):
        analysis = analyse(made(seeds), DRAWS)
        (row,) = [row for row in power(analysis).rows if row.values[1] == "hypervolume"]
        least, median, most = row.values[3:6]
        assert 0 < least <= median <= most
        medians.append(median)
        for each in analysis.hypervolumes:
            assert detectable(each.difference) > (each.difference.high - each.difference.low) / 2
    assert medians[1] < medians[0]


def test_one_seed_can_show_nothing_about_methods():
    table = power(analyse(made(seeds=(0,)), DRAWS))
    assert table is None or all(row.values[1] == "hypervolume" for row in table.rows)


def test_an_unsound_value_head_is_a_caveat():
    records = made()
    cells = records.cells[records.cells.method == "upo"].cell
    health = [Measure("health", "value_sound", float(i > 0), cell) for i, cell in enumerate(cells)]
    lines = caveats(analyse(replace(records, measures=to_frame(health)), DRAWS), {})
    (line,) = [line for line in lines if "V(x)" in line]
    assert line.count("of 3 cells") == 1 and "(1 of 3 cells)" in line
