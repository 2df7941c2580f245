"""Correlation of seeds' effects along a sweep: closed forms on figures without items."""

from __future__ import annotations

import numpy as np
import pytest

from harness.records import Objective
from reports.grids import Grid, Point
from reports.statistics.correlation import along_sweep, objective_correlation

OBJECTIVE = Objective("gap", "Gap", "minimize", "share")


def made(means: np.ndarray, clusters: int = 0) -> tuple[list[Point], Grid]:
    """One method with a point a row and a seed a column; with clusters, items whose means are the given ones."""
    points, cells, values = [], [], []
    for row, figures in enumerate(means):
        names = tuple(f"p{row}-s{seed}" for seed in range(len(figures)))
        points.append(
            Point(f"p{row}", "m", "M", "tiny", None, None, {}, names, tuple(range(len(figures))), len(figures), "")
        )
        cells += names
        values += list(figures)
    if not clusters:
        empty = np.zeros((len(cells), 0))
        return points, Grid(OBJECTIVE, tuple(cells), (), empty, empty, empty, np.array(values), {})
    noise = np.random.default_rng(1).normal(size=(len(cells), clusters))
    total = np.array(values)[:, None] + noise - noise.mean(1, keepdims=True)
    names = tuple(f"q{i}" for i in range(clusters))
    ones = np.ones_like(total)
    return points, Grid(OBJECTIVE, tuple(cells), names, total, ones, 0 * ones, total.mean(1), {})


def test_of_two_points_it_is_the_covariance_over_the_mean_variance():
    means = np.array([[0.0, 1.0, 2.0, 5.0], [1.0, 0.0, 4.0, 3.0]])
    points, grid = made(means)
    covariance = np.cov(means)
    assert along_sweep(points, grid) == pytest.approx(covariance[0, 1] / np.diag(covariance).mean())


def test_the_share_of_single_items_is_taken_off_the_variance():
    means = np.array([[0.0, 1.0, 2.0, 5.0], [1.0, 0.0, 4.0, 3.0]])
    points, grid = made(means, clusters=12)
    items = grid.total - grid.mean[:, None]
    covariance = np.cov(means)
    sampled = []
    for row in range(2):
        residual = items[4 * row : 4 * row + 4] - items[4 * row : 4 * row + 4].mean(0)
        sampled.append((residual**2).sum() / (3 * 11) / 12)  # two-way analysis of variance, 4 seeds and 12 prompts
    expected = covariance[0, 1] / (np.diag(covariance) - sampled).mean()
    assert along_sweep(points, grid) == pytest.approx(expected)
    assert along_sweep(points, grid, items=True) == pytest.approx(covariance[0, 1] / np.diag(covariance).mean())


def test_it_stays_within_zero_and_one():
    same, opposite = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    assert along_sweep(*made(same)) == 1.0
    assert along_sweep(*made(opposite)) == 0.0


def test_one_point_or_constant_points_are_taken_as_fully_correlated():
    assert along_sweep(*made(np.array([[0.0, 1.0, 3.0]]))) == 1.0
    assert along_sweep(*made(np.zeros((2, 3)))) == 1.0


def test_objectives_correlate_as_the_deviations_of_all_points_with_several_seeds():
    """Deviations from each point's own mean are pooled; a constant objective has no correlation, nor has a single seed."""
    win, gap = np.array([[0.0, 1.0, 5.0], [4.0, 2.0, 0.0]]), np.array([[1.0, 1.0, 4.0], [3.0, 3.0, 0.0]])
    points, grid = made(win)
    grids = [grid, made(gap)[1], made(np.ones((2, 3)))[1]]
    deviations = [(each - each.mean(1, keepdims=True)).ravel() for each in (win, gap)]
    expected = np.eye(3)
    expected[0, 1] = expected[1, 0] = (
        deviations[0] @ deviations[1] / np.sqrt((deviations[0] @ deviations[0]) * (deviations[1] @ deviations[1]))
    )
    assert objective_correlation(points, grids) == pytest.approx(expected)
    single, one = made(win[:, :1])
    assert objective_correlation(single, [one, made(gap[:, :1])[1]]) == pytest.approx(np.eye(2))


def test_two_seeds_correlate_fully_one_way_or_the_other():
    points, grid = made(np.array([[0.0, 1.0], [0.2, 0.4]]))
    other = made(np.array([[5.0, 3.0], [9.0, 2.0]]))[1]
    assert np.sign(objective_correlation(points, [grid, other])).tolist() == [[1.0, -1.0], [-1.0, 1.0]]
    assert objective_correlation(points[:1], [grid, other]) == pytest.approx(np.array([[1.0, -1.0], [-1.0, 1.0]]))
