"""Agreement of two judges, against hand-counted cases, and its place in the report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score

from reports.analysis import analyse
from reports.judges import agreement, agreements
from reports.markdown import render
from reports.tables import tables
from tests.reports import synthetic


@pytest.fixture(scope="module")
def records():
    return synthetic.make(prompts=30)


def with_second(records, judge):
    """The records with a second judge that decides by `judge(first judge's values)`."""
    first = records.items[records.items.objective == "win_rate"]
    second = first.assign(objective="win_rate_second", value=judge(first.value))
    return replace(records, items=pd.concat([records.items, second], ignore_index=True))


def test_agrees_with_scikit_learn():
    random = np.random.default_rng(0)
    for _ in range(5):
        a, b = random.choice([0.0, 0.2, 0.5, 0.7, 1.0], (2, 50))
        same, kappa = agreement(a, b)
        winners = np.sign(a - 0.5), np.sign(b - 0.5)
        assert same == np.mean(winners[0] == winners[1])
        assert kappa == pytest.approx(cohen_kappa_score(*winners), abs=1e-12)


def test_judges_of_one_mind_have_no_kappa_and_full_agreement():
    assert agreement(np.ones(3), np.ones(3)) == (1.0, None)


def test_the_same_judge_twice_ranks_alike_and_its_opposite_backwards(records):
    same = agreements(analyse(with_second(records, lambda value: value), 50, 0).study)
    assert same and all(a.same == 1.0 and a.first_rank == a.second_rank and a.first == a.second for a in same)
    turned = agreements(analyse(with_second(records, lambda value: 1 - value), 50, 0).study)
    assert all(a.first + a.second == pytest.approx(1.0) for a in turned)
    for size in {a.point.size for a in turned}:
        here = [a for a in turned if a.point.size == size]
        by_first = sorted(here, key=lambda a: a.first_rank)
        assert [a.second for a in by_first] == sorted(a.second for a in here)


def test_a_response_that_one_judge_could_not_decide_is_left_out(records):
    cut = agreements(analyse(with_second(records, lambda value: value.mask(value.index % 3 == 0)), 50, 0).study)
    whole = agreements(analyse(with_second(records, lambda value: value), 50, 0).study)
    assert sum(a.n for a in cut) < sum(a.n for a in whole)


def test_the_report_shows_both(records):
    analysis = analyse(with_second(records, lambda value: value), 50, 0)
    text = render(analysis, tables(analysis), {})
    assert "## Judge reliability" in text and "order disagreement" in text and "## Two judges" in text


def test_one_judge_needs_no_second_table(records):
    assert agreements(analyse(records, 50, 0).study) == []
