"""Krippendorff's α against published examples, its definition over pairs, and limits."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from reports.statistics.judges.krippendorff import nominal_alpha

N = np.nan
THREE_CODERS = np.array([
    [N, N, N, N, N, 3, 4, 1, 2, 1, 1, 3, 3, N, 3],
    [1, N, 2, 1, 3, 3, 4, 3, N, N, N, N, N, N, N],
    [N, N, 2, 1, 3, 4, 4, N, 2, 1, 1, 3, 3, N, 4],
])  # fmt: skip


def by_pairs(ratings: np.ndarray) -> float:
    """1 − D_o/D_e from all ordered pairs of ratings."""
    units = [unit[~np.isnan(unit)] for unit in ratings.T]
    units = [unit for unit in units if len(unit) > 1]
    every = np.concatenate(units)
    observed = sum(sum(a != b for a, b in permutations(unit, 2)) / (len(unit) - 1) for unit in units) / len(every)
    chance = sum(a != b for a, b in permutations(every, 2)) / (len(every) * (len(every) - 1))
    return 1 - observed / chance


def test_the_example_of_three_coders():
    assert nominal_alpha(THREE_CODERS) == pytest.approx(0.691, abs=5e-4)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_definition_over_pairs(seed):
    random = np.random.default_rng(seed)
    ratings = random.integers(0, 3, (4, 15)).astype(float)
    ratings[random.random(ratings.shape) < 0.3] = np.nan
    assert nominal_alpha(ratings) == pytest.approx(by_pairs(ratings))


def test_limits():
    assert nominal_alpha(np.array([[0, 1, 2.0], [0, 1, 2]])) == 1.0
    assert nominal_alpha(np.array([[0, 1.0], [1, 0]])) == pytest.approx(-0.5)
    assert nominal_alpha(np.ones((2, 4))) is None and nominal_alpha(np.full((2, 3), np.nan)) is None
