"""Accuracy of a trained judge in the report: its interval, its place beside win rates, and what it allows to be read."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from statsmodels.stats.proportion import proportion_confint

from harness.records import Measure, to_frame
from reports.analysis import analyse
from reports.findings import findings
from reports.page.tables import tables
from reports.page.tables.chosen_response import against_chosen
from reports.statistics.judge_accuracy import accuracy_estimate, judge_accuracies, orders
from tests.reports import synthetic


@pytest.mark.parametrize(("hits", "pairs"), [(0, 7), (31, 60), (300, 512), (9, 9)])
def test_the_interval_is_wilson_s(hits, pairs):
    made = accuracy_estimate(hits / pairs, pairs)
    assert (made.low, made.high) == pytest.approx(proportion_confint(hits, pairs, method="wilson"), abs=1e-12)


RECORDS = synthetic.make(prompts=20)


def with_judge(records, share, pairs=500):
    rows = [
        Measure("quality", f"judge_{name} (reward model, tiny)", value)
        for name, value in (("accuracy", share), ("held_out_pairs", pairs))
    ]
    return replace(records, measures=pd.concat([records.measures, to_frame(rows, Measure)], ignore_index=True))


@pytest.mark.parametrize(("share", "is_better"), [(0.53, False), (0.56, True), (0.4, False)])
def test_where_the_judge_may_be_at_chance_no_order_can_be_read(share, is_better):
    analysis = analyse(with_judge(RECORDS, share), resamples=50)
    accuracy = judge_accuracies(analysis.study.records)["tiny"]
    assert orders(accuracy) == is_better
    (said,) = [each.text for each in findings(analysis) if "The judge prefers" in each.text]
    assert "of 500 held-out pairs" in said and ("no order can be read" in said) != is_better


def test_the_accuracy_stands_beside_every_win_rate():
    analysis = analyse(with_judge(RECORDS, 0.6), resamples=50)
    made = tables(analysis).points
    titles = [column.title for column in made.columns]
    at = titles.index("Judge's accuracy")
    assert titles[at - 1] == analysis.study.grids["win_rate"].objective.label
    for row in made.rows:
        assert row.values[at] == (judge_accuracies(analysis.study.records).get(row.size))
        assert all(mark != at for mark in row.marks)
    without = tables(analyse(RECORDS, resamples=50)).points
    assert [column.title for column in without.columns] == [title for title in titles if title != "Judge's accuracy"]
    moved = [[mark - (mark > at) for mark in sorted(row.marks)] for row in made.rows]
    assert moved == [sorted(row.marks) for row in without.rows]


def test_the_paper_s_figures_are_one_table():
    records = RECORDS
    assert against_chosen(analyse(records, resamples=50)) is None
    cells = records.cells.cell[records.cells.status == "ok"]
    rows = [
        Measure("violations", f"{share}{name}", value, cell)
        for cell in cells
        for share in ("top 10% > 0.001", "top 20% > 0.001", "top 100% > 0.001")
        for name, value in (("", 0.25), (" standard error", 0.05))
    ]
    measures = pd.concat([records.measures, to_frame(rows, Measure)], ignore_index=True)
    analysis = analyse(with_judge(replace(records, measures=measures), 0.6), resamples=50)
    made = against_chosen(analysis)
    assert len(made.rows) == len(analysis.points)
    worst = made.rows[0].values[4]
    assert (worst.value, worst.low, worst.high) == pytest.approx((0.25, 0.25 - 1.96 * 0.05, 0.25 + 1.96 * 0.05))
