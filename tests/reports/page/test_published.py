"""A paper's figures beside the run's own."""

from __future__ import annotations

import json

import pytest

from reports.analysis import analyse
from reports.build import build
from reports.page.tables.published import published
from tests.reports import synthetic

GIVEN = {
    "source": "Table 1",
    "note": "Another judge.",
    "values": {
        "win_rate": {"base": {"tiny": 0.25}, "no such entry": {"tiny": 0.5, "absent": 0.75}},
        "violations": {"base": {"tiny": 0.1}},
    },
}


def test_nothing_quoted_is_no_table(analysis):
    assert published(analysis, None) is None and published(analysis, {}) is None


def test_every_quoted_figure_has_a_row_measured_or_not(analysis):
    label = next(point.label for point in analysis.study.points if point.size == "tiny")
    stated = json.loads(json.dumps(GIVEN).replace('"base"', json.dumps(label)))
    table = published(analysis, stated)
    assert [row.values[:2] for row in table.rows] == [("tiny", label), ("tiny", "no such entry")]
    point = next(r for r in analysis.points.values() if r.point.label == label and r.point.size == "tiny")
    ours = point.best("win_rate")
    assert table.rows[0].values[2:] == (0.25, ours, ours.value - 0.25, 0.1, None, None)
    assert table.rows[1].values[2:] == (0.5, None, None, None, None, None)
    assert table.note == "Published: Table 1. Another judge."
    assert [column.title for column in table.columns][5] == "violations: published"


def test_a_measure_is_quoted_by_its_name(analysis):
    measures = analysis.study.records.measures
    cells = set(analysis.study.records.cells.cell)
    name = measures[measures.cell.isin(cells) & ~measures.name.isin(list(analysis.study.grids))].name.iloc[0]
    result = next(r for r in analysis.points.values() if set(r.point.cells) & set(measures[measures.name == name].cell))
    quoted = {name: {result.point.label: {result.point.size: 0.5}}}
    row = published(analysis, {"source": "Table 2", "values": quoted}).rows[0]
    mine = measures[(measures.name == name) & measures.cell.isin(result.point.cells)].value.mean()
    assert row.values[2:] == pytest.approx((0.5, mine, mine - 0.5), abs=1e-12)


def test_the_page_and_the_markdown_show_it(records, tmp_path):
    folder = synthetic.write(tmp_path, records)
    manifest = json.loads((folder / "manifest.json").read_text()) | {"published": GIVEN}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    page = build(folder, resamples=50)
    for text in (page.read_text(), (page.parent / "report.md").read_text()):
        assert "Published and measured" in text and "Another judge." in text
    assert "published.values" not in page.read_text()


def test_quoted_labels_are_the_experiments_own_and_shown_by_name():
    records = synthetic.make(methods=synthetic.METHODS[3:4], sizes=["tiny"], prompts=10, with_generations=False)
    records.cells["label"] = [f"upo gamma={value:g}" for value in records.cells.sweep_value]
    table = published(analyse(records, 20), {"source": "T", "values": {"win_rate": {"upo gamma=2": {"tiny": 0.25}}}})
    (row,) = table.rows
    assert row.values[1] == "UPO γ=2" and row.values[2] == 0.25 and row.values[3] is not None
