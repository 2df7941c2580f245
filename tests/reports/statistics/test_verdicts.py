"""Verdicts of comparisons: better and worse only where the intervals support them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from harness.records import Cell, ItemScore, Objective, Records, Status
from reports.grids import study
from reports.statistics.simultaneous import holm
from reports.statistics.verdicts import compare, decide

TOXICITY = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))


def two(first, second, seeds=1, **item) -> Records:
    """Records of two methods with these values per prompt (None is missing), the same for every seed."""
    cells, items = [], []
    for name, values in (("a", first), ("b", second)):
        for seed in range(seeds):
            cell = f"{name}{seed}"
            cells.append(Cell(cell, name, name, name.upper(), "tiny", seed, {}))
            for i, value in enumerate(values):
                status = Status.OK if value is not None else Status.ERROR
                items.append(ItemScore("toxicity", f"p{i}", f"p{i}", value, status, cell=cell, **item))
    return Records.build(objectives=[TOXICITY], cells=cells, items=items)


def judged(records: Records):
    found = study(records)
    points = {point.id: point for point in found.points}
    grid = found.grids["toxicity"]
    pair = (points["a"], points["b"])
    return decide([compare(*pair, grid, {})], points, found.grids)[0]


def test_the_paired_test_is_scipys():
    rng = np.random.default_rng(0)
    first, second = rng.random(30), rng.random(30) * 0.8
    found = judged(two(first, second))
    expected = stats.ttest_rel(first, second)
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx((low, high))
    assert found.scope == "checkpoints"


def test_only_seeds_that_both_have_are_paired():
    """Method a lacks seed 2 and method b seed 0, so that seed 1 alone is paired."""
    rng = np.random.default_rng(1)
    first, second = rng.random(20), rng.random(20)
    both = two(first, second, seeds=3)
    left_out = both.cells.cell.isin(["a2", "b0"])
    records = replace(both, cells=both.cells[~left_out], items=both.items[~both.items.cell.isin(["a2", "b0"])])
    assert judged(records).p == pytest.approx(stats.ttest_rel(first, second).pvalue)


def test_the_direction_decides_what_is_better():
    low, high = [0.1, 0.2, 0.1, 0.15, 0.12, 0.1], [0.8, 0.9, 0.85, 0.8, 0.82, 0.9]
    assert judged(two(low, high)).verdict == "better"
    assert judged(two(high, low)).verdict == "worse"


def test_equal_values_are_not_separable_and_have_no_p_value():
    found = judged(two([0.3, 0.4, 0.5], [0.3, 0.4, 0.5]))
    assert (found.verdict, found.p, found.difference.se) == ("not separable", None, None)
    assert found.note == "equal on every item"


def test_missing_items_that_could_turn_it_leave_it_undecided():
    first, second = [0.1, 0.12, 0.1, 0.11] * 5, [0.2, 0.21, 0.2, 0.19] * 5
    assert judged(two(first, second)).verdict == "better"
    # Two of twenty missing at their lowest leave 0.18 > 0.108 with an error of 0.014. Eight leave 0.12, which is more, but not
    # surely: the bounds have an error of 0.02. Twelve leave 0.08.
    assert judged(two(first, [None] * 2 + second[2:])).verdict == "better"
    for missing in (8, 12):
        found = judged(two(first, [None] * missing + second[missing:]))
        assert found.verdict == "not separable" and f"{missing} missing items could turn it" in found.note
        assert found.difference.low < 0 < found.difference.high and found.p > 0.05


@pytest.mark.parametrize("missing", range(10))
def test_with_missing_items_word_interval_and_p_value_agree(missing):
    found = judged(two([0.1, 0.12, 0.1, 0.11] * 5, [None] * missing + ([0.2, 0.21, 0.2, 0.19] * 5)[missing:]))
    assert (found.verdict == "better") == (found.p < 0.05) == (found.difference.high < 0)


def test_unlike_sets_of_prompts_are_not_compared():
    records = two([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    extra = two([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    items = records.items[~((records.items.cell == "b0") & (records.items["item"] == "p2"))]
    found = judged(Records(**{**vars(extra), "items": items}))
    assert found.verdict == "not comparable" and "set of prompts" in found.note


def test_unlike_judges_are_not_compared():
    records = two([0.1, 0.2, 0.3], [0.1, 0.2, 0.3])
    items = records.items.copy()
    items["detail"] = ['{"judge": "one"}' if cell == "a0" else '{"judge": "two"}' for cell in items.cell]
    found = judged(Records(**{**vars(records), "items": items}))
    assert found.verdict == "not comparable" and "judge" in found.note


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.randoms())
def test_holm_is_monotone_and_ignores_order(values, random):
    adjusted = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, adjusted, strict=True))
    order = list(range(len(values)))
    random.shuffle(order)
    assert holm([values[i] for i in order]) == [adjusted[i] for i in order]
    assert min(adjusted) == pytest.approx(min(1.0, len(values) * min(values)))
