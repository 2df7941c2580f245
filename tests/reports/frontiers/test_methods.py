"""Comparisons of methods by their hypervolumes: shares of draws, with ties counted half."""

from __future__ import annotations

import numpy as np
import pytest

from reports.frontiers.methods import _compared, _probability_largest
from reports.statistics.functionals import Functional


def test_methods_that_tie_share_a_draw():
    draws = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([1.0, 1.0, 3.0]), "c": np.array([0.0, 0.0, 3.0])}
    assert _probability_largest(draws) == {
        "a": pytest.approx((1 / 2 + 1 + 1 / 3) / 3), "b": pytest.approx((1 / 2 + 1 / 3) / 3), "c": pytest.approx(1 / 9),
    }  # fmt: skip


def test_one_method_or_equal_draws_have_no_largest():
    assert _probability_largest({"a": np.array([1.0, 2.0])}) == {}
    assert _probability_largest({"a": np.ones(3), "b": np.ones(3)}) == {}


def test_the_probability_that_the_first_is_larger_counts_equal_draws_half():
    difference = Functional(0.1, np.array([1.0, 0.0, -1.0, 0.0, 2.0]), np.array([0.1]), np.zeros((1, 4)), None)
    compared = _compared("tiny", "a", "b", 1, difference, 2, 0.05, 1.0)
    assert compared.probability == pytest.approx(3 / 5)
