"""Mean inner product, sparsity and spacing against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.analysis import analyse
from reports.frontiers import frontier, indicators
from tests.performance.worlds import OBJECTIVES
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.integers(2, 3), st.integers(0, 500))
def test_draws_agree_with_the_definitions_one_by_one(n, dimensions, seed):
    gain = np.random.default_rng(seed).integers(0, 5, (2, n, dimensions)) / 4
    weights = indicators.weight_grid(dimensions)
    for i, points in enumerate(gain):
        inner = np.mean([max(float(weight @ point) for point in points) for weight in weights])
        assert indicators.mean_inner_product(gain)[i] == pytest.approx(inner)
        front = np.array([p for p in points if not any((q >= p).all() and (q > p).any() for q in points)])
        steps = sum(
            (a - b) ** 2 for column in front.T for a, b in zip(np.sort(column), np.sort(column)[1:], strict=False)
        )
        assert indicators.sparsity(gain)[i] == pytest.approx(steps / max(len(front) - 1, 1))
        if len(front) > 1:
            near = [min(np.abs(p - q).sum() for j, q in enumerate(front) if j != k) for k, p in enumerate(front)]
            assert indicators.spacing(gain)[i] == pytest.approx(np.std(near, ddof=1), abs=1e-9)
        else:
            assert indicators.spacing(gain)[i] == 0


@pytest.mark.parametrize(("objectives", "count"), [(2, 11), (3, 21), (4, 56)])
def test_weights_lie_on_the_simplex_and_are_all_multiples_of_one_step(objectives, count):
    weights = indicators.weight_grid(objectives)
    assert len(np.unique(weights, axis=0)) == len(weights) == count
    assert weights.sum(1) == pytest.approx(1.0) and (weights >= 0).all()


def test_gains_count_from_the_reference_point_and_upwards():
    gain = indicators.gains(np.array([[[0.7, 0.2]]]), OBJECTIVES)
    assert gain.tolist() == [[[0.7, pytest.approx(0.8)]]]
    assert frontier.hypervolume([[0.7, 0.2]], OBJECTIVES) == pytest.approx(gain.prod())


def test_every_method_has_them_with_an_interval_and_a_sweep_of_one_has_no_spacing():
    report = analyse(synthetic.make(METHODS[1:4], ("tiny",), (0, 1, 2), prompts=40, with_generations=False), 200)
    for result in report.methods:
        inner = result.mean_inner_product
        assert inner.low < inner.value < inner.high
        assert (result.spacing is None) == (result.sparsity is None) == (len(result.points) == 1)
        if result.sparsity:
            assert 0 <= result.sparsity.low <= result.sparsity.value <= result.sparsity.high
