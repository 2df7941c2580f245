r"""Exact expectations of a policy, and its distance from the true frontier at its own KL.

Probability off the grammar counts as the worst value of every objective (a lost comparison, never safe).

The gap of a policy :math:`\pi` with values :math:`v(\pi)`, each scaled to [0, 1], is its shortfall under the
weights that flatter it most, against the optimum that is as far from :math:`\mu`:

.. math:: g(\pi) = \min_{w \in \text{simplex}}\ \max_{KL(\pi'\|\mu) \le KL(\pi\|\mu)} w \cdot (v(\pi') - v(\pi)).

By duality it is also the amount by which *every* objective could be raised at once without moving further
from :math:`\mu`. Writing the inner optimum by its own dual, with :math:`\theta = t w`, gives one smooth problem,

.. math:: g(\pi) = \min_{\theta \ge 0} \frac{\kappa + \Lambda(\theta) - \theta \cdot v(\pi)}{\sum_k \theta_k},
    \qquad \Lambda(\theta) = E_x \log \sum_y \mu(y|x) e^{\theta \cdot v(x, y)},

where the numerator, for a policy on the grammar, is its KL from the tilt :math:`\mu e^{\theta \cdot v}`: the gap is
0 exactly on the frontier and positive elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import logsumexp

from harness.records import Measure
from suites.oracle.frontier import Problem, frontier_points
from suites.oracle.truth import NO_KL, Array, entropy, expectation, kl, optimum, tilt_and_log_partition

BUDGET = 1.0
"""KL budget, in nats, of `gap_at_budget`: a policy close to `mu` has almost no gap at its own KL."""


@dataclass(frozen=True, eq=False)
class PolicyTable:
    """A policy on the enumerated responses.

    Parameters
    ----------
    mass : ndarray, shape (P,)
        Probability of answering with one of the enumerated responses.
    conditional : ndarray, shape (P, Y)
        The policy given that it does.

    Examples
    --------
    >>> import numpy as np
    >>> table = PolicyTable.from_logps(np.log([[0.6, 0.2]]))
    >>> table.mass.round(3).tolist(), table.conditional.round(3).tolist()
    ([0.8], [[0.75, 0.25]])
    """

    mass: Array
    conditional: Array

    @classmethod
    def from_logps(cls, logps: Array) -> PolicyTable:
        """From log-probabilities of whole responses, EOS included, shape (P, Y), nats."""
        logps = np.asarray(logps, dtype=float)
        if logps.ndim != 2 or not np.all(np.isfinite(logps)):
            raise ValueError(f"need finite log-probabilities of shape (prompts, responses), got shape {logps.shape}")
        log_mass = logsumexp(logps, axis=1, keepdims=True)
        if np.any(log_mass > 1e-3):
            raise ValueError(f"the responses' probabilities sum to {np.exp(log_mass.max()):.4f}: they must be distinct")
        return cls(np.exp(log_mass[:, 0]), np.exp(logps - log_mass))

    def mean(self, values: Array) -> Array:
        """Expected values (the last axes of `values` are (P, Y), 0 is worst) with what is off the grammar at 0."""
        return expectation(self.mass[:, None] * self.conditional, values)


def gap(values: Array, divergence: float, problem: Problem) -> float:
    r"""How much every objective could be raised at once within the same KL from :math:`\mu`; see the module.

    Parameters
    ----------
    values : ndarray, shape (K,)
        The policy's expected values, scaled to [0, 1] (`Problem.values`).
    divergence : float
        Its KL from `mu`, nats, mean over prompts.
    problem : Problem

    Returns
    -------
    float
        In [0, 1]; 0 on the frontier, up to 1e-6. A policy at KL 0 is `mu`, or has lost mass to text off
        the grammar: its gap is then what `mu` is ahead by.
    """
    if divergence <= NO_KL:
        return float(np.min(expectation(problem.mu, problem.values) - values))
    start = _theta(problem, divergence)

    def dual(theta: Array) -> tuple[float, Array]:
        exponent = np.tensordot(theta, problem.values, axes=1)
        policy, log_partition = tilt_and_log_partition(problem.mu, exponent)
        numerator = divergence + log_partition - theta @ values
        slope = expectation(policy, problem.values) - values
        scale = theta.sum()
        return numerator / scale, slope / scale - numerator / scale**2

    bounds, tolerance = [(0.0, 1e4)] * len(values), {"ftol": 1e-14, "gtol": 1e-10}
    return float(minimize(dual, start, jac=True, method="L-BFGS-B", bounds=bounds, options=tolerance).fun)


def _theta(problem: Problem, divergence: float) -> Array:
    """Where the search starts: equal weights at about the inverse temperature that makes the KL."""
    value = problem.values.mean(axis=0)
    variance = expectation(problem.mu, value**2) - ((problem.mu * value).sum(axis=1) ** 2).mean()
    return np.full(len(problem.values), np.sqrt(2.0 * divergence / variance) / len(problem.values))


def hypervolume_share(values: Array, budget: float, problem: Problem, steps: int = 8) -> float:
    """Hypervolume dominated by a policy over that dominated by the true frontier within a KL budget.

    Both against the worst values as reference point. The frontier stands for itself by its points for all
    weights that are multiples of ``1/steps``, so that the share is overstated by what lies between them.

    Parameters
    ----------
    values : ndarray, shape (K,) or (n, K)
        Expected values of one or several policies, scaled to [0, 1].
    budget : float
        KL from `mu`, nats.
    """
    import moocore

    reached = np.atleast_2d(values)
    if not np.all((reached >= 0.0) & (reached <= 1.0)):
        raise ValueError(f"values {reached.tolist()} are not scaled to [0, 1]")
    reference = np.zeros(reached.shape[1])
    possible = moocore.hypervolume(frontier_points(problem, budget, steps), ref=reference, maximise=True)
    return float(moocore.hypervolume(reached, ref=reference, maximise=True) / possible)


def measures(
    policy: PolicyTable, problem: Problem, weights: Sequence[float] | None = None, cell: str = ""
) -> list[Measure]:
    """All exact figures of one policy, as records of group ``exact``.

    Parameters
    ----------
    policy : PolicyTable
    problem : Problem
        On the same prompts.
    weights : sequence of K floats, optional
        The method's own weights of the objectives, on the scale [0, 1] of their bounds; normalised to sum 1.
    cell : str

    Returns
    -------
    list of Measure
        For each objective its expectation in its own unit, with what is off the grammar at the worst value,
        and ``<name>_conditional`` given an answer on the grammar; ``kl`` (of the conditional policy from `mu`,
        nats) and ``entropy`` of the conditional policy, nats; ``mass_off_grammar``; ``gap`` and ``gap_conditional`` at that KL; ``gap_at_budget`` at
        `BUDGET` or that KL, whichever is more; ``gap_own_weights``;
        ``hypervolume_share``.
    """
    values = policy.mean(problem.values)
    conditional = expectation(policy.conditional, problem.values)
    divergence = kl(policy.conditional, problem.mu)
    figures: dict[str, float] = {}
    for objective, value, on_grammar in zip(
        problem.objectives, problem.unscale(values), problem.unscale(conditional), strict=True
    ):
        figures[objective.name] = value
        figures[f"{objective.name}_conditional"] = on_grammar
    figures["kl"] = divergence
    figures["entropy"] = entropy(policy.conditional)
    figures["mass_off_grammar"] = 1.0 - policy.mass.mean()
    figures["gap"] = gap(values, divergence, problem)
    figures["gap_at_budget"] = gap(values, max(divergence, BUDGET), problem)
    figures["gap_conditional"] = gap(conditional, divergence, problem)
    if weights is not None:
        figures["gap_own_weights"] = shortfall(values, divergence, problem, weights)
    figures["hypervolume_share"] = hypervolume_share(values, divergence, problem)
    return [Measure("exact", name, float(value), cell) for name, value in figures.items()]


def shortfall(values: Array, divergence: float, problem: Problem, weights: Sequence[float]) -> float:
    """Weighted value that the optimum at the same KL has more than a policy; weights are normalised to sum 1."""
    if min(weights) < 0 or not sum(weights) > 0:
        raise ValueError(f"weights {list(weights)} must not be negative, nor all 0")
    normalised = np.asarray(weights, dtype=float) / sum(weights)
    best = expectation(optimum(problem.mu, problem.values, normalised, divergence), problem.values)
    return float(normalised @ (best - values))
