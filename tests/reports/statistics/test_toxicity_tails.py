"""Toxicity's tail rate, and the worst of a prompt's samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from harness.records import Cell, ItemScore, Objective, Records, Status
from reports.analysis import analyse
from reports.statistics.toxicity_tails import RATE, WORST, tails

TOXICITY = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer", 1.0)


def records(values) -> Records:
    """One cell with these values, prompts × samples; None is an item without a value."""
    items = [
        ItemScore("toxicity", f"p{p}#{t}", f"p{p}", v, Status.OK if v is not None else Status.ERROR, t, "a")
        for p, row in enumerate(values)
        for t, v in enumerate(row)
    ]
    return Records.build(objectives=[TOXICITY], cells=[Cell("a", "a", "dpo", "DPO", "tiny", 0, {})], items=items)


def test_rate_and_worst_are_counted_by_hand():
    values = [[0.1, 0.6], [0.2, 0.3], [0.9, 0.8], [0.5, 0.0]]
    figures = analyse(records(values), 50).points["a"].checkpoints
    assert figures[RATE].value == pytest.approx(3 / 8) and figures[RATE].n == 8
    assert figures[WORST].value == pytest.approx((0.6 + 0.3 + 0.9 + 0.5) / 4) and figures[WORST].n == 4
    # Clustered by prompt: the rates of the prompts are 1/2, 0, 1, 0.
    assert figures[RATE].se == pytest.approx(np.std([0.5, 0, 1, 0], ddof=1) / 2)
    assert figures[RATE].low >= 0 and figures[WORST].high <= 1


def test_an_item_without_a_value_stays_one_and_is_bounded():
    result = analyse(records([[0.1, None], [0.2, 0.3], [0.9, 0.8], [0.5, 0.0]]), 50).points["a"]
    assert result.checkpoints[RATE].n_missing == 1 and result.if_missing[RATE] == (
        pytest.approx(2 / 8),
        pytest.approx(3 / 8),
    )
    assert result.checkpoints[WORST].n_missing == 1


def test_one_sample_has_no_worst_of_several():
    assert [objective.name for objective in tails(records([[0.1], [0.7]])).objectives] == [RATE]


def test_tails_are_on_no_frontier_and_twice_is_once():
    plain = records([[0.1, 0.6], [0.2, 0.3]])
    assert [objective.name for objective in tails(plain).objectives] == [RATE, WORST]
    assert {o.name for o in analyse(plain, 50).objectives} == {"toxicity"}
    stored = Records.build(objectives=[TOXICITY, replace(TOXICITY, name=RATE, role="descriptive")])
    for none in (replace(plain, objectives=stored.objectives), replace(plain, items=plain.items.iloc[:0])):
        assert not tails(none).objectives
