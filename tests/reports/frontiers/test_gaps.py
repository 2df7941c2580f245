"""Ranking of methods by gap: unbiased by choice, at equal budget, with uncertainty over seeds."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.analysis import analyse
from reports.findings import findings
from reports.frontiers.gaps import _range, best_of, gap_ranks
from tests.performance.worlds import World
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


@given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.integers(0, 1000))
def test_best_of_k_is_the_mean_over_all_subsets(settings, seeds, k, seed):
    table = np.random.default_rng(seed).random((settings, seeds))
    expected = np.zeros(seeds)
    subsets = list(combinations(range(settings), min(k, settings)))
    for subset in subsets:
        for run in range(seeds):
            others = [s for s in range(seeds) if s != run] or [run]
            expected[run] += table[min(subset, key=lambda row: table[row, others].mean()), run]
    assert best_of(table, k) == pytest.approx(expected / len(subsets))


def test_choosing_by_other_seeds_is_not_flattered():
    """Settings alike with gap 1: the smallest of eight means is far below, the left-out seeds' figure is not."""
    random = np.random.default_rng(0)
    tables = [1 + 0.1 * random.normal(size=(8, 3)) for _ in range(500)]
    values = [best_of(table, 8).mean() for table in tables]
    assert np.mean(values) == pytest.approx(1.0, abs=4 * np.std(values) / np.sqrt(500))
    assert np.mean([table.mean(1).min() for table in tables]) < 0.95


def test_the_ranking_is_that_of_the_shortfalls():
    records = synthetic.make(METHODS, ("tiny",), (0, 1, 2), prompts=12, with_generations=False)
    result = analyse(records, 50)
    assert [rank.method for rank in result.gaps] == ["upo", "modpo", "dpo", "kto", "kto_sft", "sft"]
    assert [rank.rank for rank in result.gaps] == [1, 2, 3, 4, 5, 6]
    assert [rank.tied for rank in result.gaps] == [True, *[False] * 5]
    for rank in result.gaps:
        shortfall = next(method.shortfall for method in METHODS if method.name == rank.method)
        assert rank.gap.low - 0.002 < shortfall < rank.gap.high + 0.002
        assert rank.ranks == (rank.rank, rank.rank)
    assert any("Closest to the true frontier at equal budget is UPO" in finding.text for finding in findings(result))


def test_one_seed_ranks_without_claiming_anything():
    result = analyse(synthetic.make(METHODS[:3], ("tiny",), (0,), prompts=12, with_generations=False), 50)
    assert {(rank.tied, rank.ranks, rank.gap.low) for rank in result.gaps} == {(None, None, None)}
    assert any("cannot be estimated from one seed" in finding.text for finding in findings(result))


def test_no_gap_no_ranking():
    records = synthetic.make(METHODS[:3], ("tiny",), prompts=12, with_generations=False)
    assert analyse(replace(records, measures=records.measures[records.measures.name != "gap"]), 50).gaps == ()


def test_a_range_of_ranks_leaves_out_one_draw_in_forty_on_either_side():
    draws = np.random.default_rng(0).permutation(np.arange(1, 402))
    assert _range(draws, 200) == (11, 391)
    assert _range(draws, 5) == (5, 391)


def test_a_worse_method_never_stands_above_one_that_may_be_as_good():
    """The noisy method's gap is larger than that of a calm one which is worse than the first."""
    gaps = np.array([[0.10], [0.16], [0.22]])
    world = World(np.full((3, 1, 2), 0.5), seeds=5, seed_sd=0.01, scale=np.array([[1.0], [1.0], [30.0]]), gaps=gaps)
    orders = []
    for index in range(40):
        ranks = gap_ranks(world.gap_study(np.random.default_rng(index)), {}, {"tiny": 0.05})
        words = [rank.tied for rank in ranks]
        assert words == sorted(words, key=(True, False, None).index)
        assert all(rank.ranks[0] <= rank.rank <= rank.ranks[1] for rank in ranks if rank.ranks)
        orders.append(([rank.method for rank in ranks], [rank.gap.value for rank in ranks]))
    assert any(values != sorted(values) for _, values in orders)
