"""Steps in series of nights: exact p-values on series that can be enumerated."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from reports.nightly.drift import find_steps


class Orders:
    """A generator that deals out given permutations, one after another."""

    def __init__(self, orders):
        self.orders = iter(orders)

    def permutation(self, count: int) -> np.ndarray:
        order = np.array(next(self.orders))
        assert len(order) == count
        return order


def every_order(nights: int) -> list[tuple[int, ...]]:
    return list(permutations(range(nights)))


def test_over_all_orders_the_p_value_counts_those_as_large_and_the_observed_one():
    """Of the 24 orders of 0, 0, 1, 1, the four that end with both ones have the largest statistic, like the observed."""
    series = np.array([[0.0], [0.0], [1.0], [1.0]])
    start, p = find_steps(series, Orders(every_order(4)), permutations=24)
    assert start.tolist() == [2]
    assert p == pytest.approx([(1 + 4) / (24 + 1)], abs=1e-15)


def test_a_p_value_is_never_zero():
    """None of the orders drawn reaches the observed statistic."""
    series = np.arange(5.0)[:, None]
    smaller = every_order(5)[-24:]  # all begin with the largest
    _, p = find_steps(series, Orders(smaller), permutations=len(smaller))
    assert p == pytest.approx([1 / (len(smaller) + 1)], abs=1e-15)


def test_a_series_that_never_changes_ties_with_every_order():
    _, p = find_steps(np.full((6, 1), 0.3), Orders(every_order(6)[:50]), permutations=50)
    assert p.tolist() == [1.0]


def test_a_permutation_is_compared_by_its_largest_series():
    """The noisy series reaches 1 in every order of its own; beside it, a smaller step is never among the largest."""
    series = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    _, p = find_steps(series, Orders(every_order(4)), permutations=24)
    # the maximum over both series reaches that of a perfect step where either series is sorted: 4 + 4 of 24 orders
    assert p[0] == pytest.approx((1 + 8) / 25, abs=1e-15)
    assert p[1] > p[0]


@pytest.mark.parametrize("first", [1, 3, 7])
def test_the_step_is_where_the_level_rises(first):
    series = np.where(np.arange(10) >= first, 1.0, 0.0)[:, None]
    assert find_steps(series, np.random.default_rng(0), permutations=9)[0].tolist() == [first]


def test_improvements_are_no_alarm():
    falling = np.where(np.arange(12) >= 6, 0.0, 1.0)[:, None]
    assert find_steps(falling, np.random.default_rng(0), permutations=199)[1][0] > 0.9
