"""Exact figures of a policy: expectations, lost mass, and the gap to the true frontier at its own KL."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from suites.oracle import exact
from suites.oracle.exact import PolicyTable
from suites.oracle.frontier import frontier_points, simplex
from suites.oracle.truth import expectation, kl, optimum, tilt


def figures(policy: PolicyTable, problem, **options) -> dict[str, float]:
    rows = exact.measures(policy, problem, cell="c", **options)
    assert {(row.group, row.cell) for row in rows} == {("exact", "c")}
    return {row.name: row.value for row in rows}


def on_grammar(policy: np.ndarray) -> PolicyTable:
    return PolicyTable.from_logps(np.log(policy))


def gap_of(policy: np.ndarray, problem) -> float:
    return exact.gap(expectation(policy, problem.values), kl(policy, problem.mu), problem)


def test_mu_itself(problem):
    measured = figures(on_grammar(problem.mu), problem)
    assert measured["win_rate"] == pytest.approx(0.5, abs=1e-12)
    assert measured["kl"] == pytest.approx(0.0, abs=1e-12) and measured["mass_off_grammar"] == pytest.approx(
        0.0, abs=1e-12
    )
    assert measured["gap"] == pytest.approx(0.0, abs=1e-9)
    assert measured["hypervolume_share"] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("theta", [(5, 3, 2), (20, 0, 0), (0, 0, 8), (0.1, 0.2, 0.1), (30, 40, 80)])
def test_a_tilt_is_on_the_frontier(problem, theta):
    """Its own weights are not on any grid: the gap is 0 because the search over weights is continuous."""
    policy = tilt(problem.mu, np.tensordot(np.array(theta, float), problem.values, 1))
    assert gap_of(policy, problem) == pytest.approx(0.0, abs=1e-6)
    assert figures(on_grammar(policy), problem, weights=theta)["gap_own_weights"] == pytest.approx(0.0, abs=1e-8)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), noise=st.floats(0.3, 2.0))
def test_a_disturbed_policy_is_off_it(problem, seed, noise):
    disturbance = noise * np.random.default_rng(seed).normal(size=problem.mu.shape)
    policy = tilt(problem.mu, np.tensordot([5.0, 3.0, 2.0], problem.values, 1) + disturbance)
    assert gap_of(policy, problem) > 1e-3


@pytest.mark.parametrize("lost", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(4))
def test_gap_is_the_least_shortfall_over_weights(problem, seed, lost):
    """The dual's minimum equals a direct search over weights with the optimum solved for at each."""
    rng = np.random.default_rng(seed)
    theta = np.tensordot(rng.normal(3, 3, 3), problem.values, 1)
    policy = tilt(problem.mu, theta + rng.normal(size=problem.mu.shape))
    values, divergence = (1 - lost) * expectation(policy, problem.values), kl(policy, problem.mu)

    def shortfall(roots):  # squares reach the simplex's edges
        return exact.shortfall(values, divergence, problem, roots**2)

    start = min(simplex(3, 6), key=lambda weights: shortfall(np.sqrt(weights)))
    direct = minimize(shortfall, np.sqrt(start) + 0.02, method="Nelder-Mead", options={"fatol": 1e-9, "xatol": 1e-6})
    assert exact.gap(values, divergence, problem) == pytest.approx(direct.fun, abs=1e-6)


def test_gap_is_what_every_objective_could_gain_at_once(problem):
    """Duality: some policy in the ball is better by the gap in every objective, none by more."""
    policy = tilt(problem.mu, 0.8 * np.random.default_rng(0).normal(size=problem.mu.shape))
    values, divergence = expectation(policy, problem.values), kl(policy, problem.mu)
    measured = exact.gap(values, divergence, problem)

    def least_gain(logits):
        weights = np.exp([*logits, 0.0])
        best = optimum(problem.mu, problem.values, weights / weights.sum(), divergence)
        return (expectation(best, problem.values) - values).min()

    most = minimize(
        lambda logits: -least_gain(logits), [0.0, 0.0], method="Nelder-Mead", options={"fatol": 1e-8, "xatol": 1e-6}
    )
    assert measured > 0.01
    assert -most.fun == pytest.approx(measured, abs=1e-5)


def test_drifting_further_makes_nobody_look_good(problem):
    """A policy on the frontier and one twice as far from mu, equally good, differ by the gap."""
    near = tilt(problem.mu, np.tensordot([5.0, 3.0, 2.0], problem.values, 1))
    values, divergence = expectation(near, problem.values), kl(near, problem.mu)
    gaps = [exact.gap(values, factor * divergence, problem) for factor in (1.0, 1.5, 2.0, 4.0)]
    assert gaps[0] == pytest.approx(0.0, abs=1e-6) and all(a < b for a, b in zip(gaps, gaps[1:], strict=False))


def test_lost_mass_is_a_loss_and_never_safe(problem):
    policy = tilt(problem.mu, np.tensordot([5.0, 3.0, 2.0], problem.values, 1))
    whole, lossy = on_grammar(policy), PolicyTable.from_logps(np.log(0.8 * policy))
    complete, measured = figures(whole, problem), figures(lossy, problem)
    assert measured["mass_off_grammar"] == pytest.approx(0.2, abs=1e-12)
    assert measured["kl"] == pytest.approx(complete["kl"], abs=1e-12)
    assert measured["win_rate"] == pytest.approx(0.8 * complete["win_rate"], abs=1e-12)
    assert measured["toxicity"] == pytest.approx(0.8 * complete["toxicity"] + 0.2 * 1.0, abs=1e-12)  # worst is 1
    assert measured["plainness"] == pytest.approx(0.8 * complete["plainness"], abs=1e-12)  # worst is 0
    for objective in problem.objectives:
        assert measured[f"{objective.name}_conditional"] == pytest.approx(complete[objective.name], abs=1e-12)
    assert measured["gap_conditional"] == pytest.approx(0.0, abs=1e-6) and measured["gap"] > 0.05
    assert measured["hypervolume_share"] == pytest.approx(0.8**3 * complete["hypervolume_share"], rel=1e-9)


def test_lost_mass_weighs_by_prompt(problem):
    """Losing a prompt's answers loses that prompt's values, not the average's."""
    mass = np.linspace(0.1, 1.0, len(problem.mu))
    measured = figures(PolicyTable.from_logps(np.log(mass[:, None] * problem.mu)), problem)
    expected = np.mean([m * row @ w for m, row, w in zip(mass, problem.mu, problem.raw[0], strict=True)])
    assert measured["win_rate"] == pytest.approx(expected, abs=1e-12)


def test_mass_that_underflows_keeps_its_conditional(problem):
    table = PolicyTable.from_logps(np.log(problem.mu) - 2000.0)
    np.testing.assert_allclose(table.conditional, problem.mu, rtol=1e-9)
    assert figures(table, problem)["mass_off_grammar"] == 1.0


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_logps_must_be_finite(value):
    with pytest.raises(ValueError, match="finite"):
        PolicyTable.from_logps(np.array([[value, -1.0]]))


def test_probabilities_above_one_are_refused():
    with pytest.raises(ValueError, match="sum to 1.2"):
        PolicyTable.from_logps(np.log([[0.6, 0.6]]))


def test_hypervolume_share_of_sets(problem):
    budget = 0.5
    points = frontier_points(problem, budget, 8)
    assert exact.hypervolume_share(points, budget, problem) == pytest.approx(1.0, abs=1e-12)
    shares = [exact.hypervolume_share(points[:n], budget, problem) for n in (1, 5, 20)]
    assert 0 < shares[0] < shares[1] < shares[2] < 1
    one, half_as_good = (exact.hypervolume_share(scale * points[3], budget, problem) for scale in (1.0, 0.5))
    assert one / half_as_good == pytest.approx(2.0**3)
    box_share = shares[0] / np.prod(points[0])  # a single point dominates a box
    assert one == pytest.approx(box_share * np.prod(points[3]))
    with pytest.raises(ValueError, match="not scaled"):
        exact.hypervolume_share(points * 20, budget, problem)


def test_a_policy_is_measured_in_a_fraction_of_a_second(problem):
    policy = on_grammar(tilt(problem.mu, np.random.default_rng(1).normal(size=problem.mu.shape)))
    started = time.process_time()
    exact.measures(policy, problem)
    assert time.process_time() - started < 2.0  # 0.2 s when written
