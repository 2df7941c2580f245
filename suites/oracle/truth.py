r"""Optimal policies and the true Pareto frontier, in closed form.

All policies are arrays of shape (P, Y): a distribution over Y responses for each of P prompts. Every
objective, the win rate against :math:`\mu` among them, is linear in the policy, so that for weights :math:`w`
and a budget :math:`\kappa` on KL(π‖μ) the optimum of :math:`\sum_k w_k E_\pi[v_k]` is a tilt of :math:`\mu`,

.. math:: \pi^*(y|x) \propto \mu(y|x)\, \exp\Big(t \sum_k w_k v_k(x, y)\Big),

with one inverse temperature :math:`t` for all prompts, found where the KL meets the budget. Truth is
therefore a family: one frontier for each budget.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.special import entr, expit, xlogy

Array = np.ndarray

NO_KL = 1e-12
"""A KL up to this, in nats, is rounding and counts as 0."""


def tilt(mu: Array, exponent: Array) -> Array:
    r"""The policy :math:`\pi(y|x) \propto \mu(y|x)\,e^{s(x,y)}`.

    It maximises :math:`E_\pi[r] - \beta\,KL(\pi\|\mu)` for :math:`s = r/\beta`.

    Parameters
    ----------
    mu, exponent : ndarray, shape (P, Y)
        `mu` must be positive; the exponent may be of any size.

    Examples
    --------
    >>> import numpy as np
    >>> tilt(np.array([[0.5, 0.5]]), np.log([[1.0, 3.0]])).tolist()
    [[0.25, 0.75]]
    >>> tilt(np.array([[0.5, 0.5]]), np.array([[0.0, 1e6]])).tolist()
    [[0.0, 1.0]]
    """
    return tilt_and_log_partition(mu, exponent)[0]


def tilt_and_log_partition(mu: Array, exponent: Array) -> tuple[Array, float]:
    r"""The tilt, and :math:`\Lambda = E_x \log \sum_y \mu(y|x)\,e^{s(x,y)}`.

    Examples
    --------
    >>> import math, numpy as np
    >>> policy, log_partition = tilt_and_log_partition(np.array([[0.5, 0.5]]), np.log([[1.0, 3.0]]))
    >>> policy.tolist(), math.isclose(log_partition, math.log(2.0))
    ([[0.25, 0.75]], True)
    """
    top = exponent.max(axis=1, keepdims=True)
    raised = mu * np.exp(exponent - top)
    total = raised.sum(axis=1, keepdims=True)
    return raised / total, float((np.log(total) + top).mean())


def dpo_target(mu: Array, reward: Array, beta: float) -> Array:
    r"""Optimum of DPO, and of every loss that fits the preference reward: :math:`\mu\,e^{r_p/\beta}`.

    Parameters
    ----------
    mu : ndarray, shape (P, Y)
        The reference policy.
    reward : ndarray, shape (P, Y)
        :math:`r_p = u/T`, the Bradley-Terry reward.
    beta : float
    """
    return tilt(mu, reward / beta)


def modpo_target(mu: Array, reward: Array, beta: float, weight: float, designer: Array) -> Array:
    r"""Optimum of MODPO (arXiv:2310.03708): :math:`\mu\,\exp((w_0 r_p + \sum_{k\ge1} w_k R_k)/\beta)`.

    The loss :math:`-\log\sigma(\frac{1}{w_0}[\beta\Delta - \sum_k w_k (R_k(y_w) - R_k(y_l))])` is least where
    :math:`\beta\rho - \sum_k w_k R_k = w_0 r_p` up to a term of the prompt's.

    Parameters
    ----------
    weight : float
        :math:`w_0`, of the user.
    designer : ndarray, shape (P, Y)
        :math:`\sum_{k\ge1} w_k R_k`, the weighted sum of designer rewards (1 is good).
    """
    return tilt(mu, (weight * reward + designer) / beta)


def upo_target(mu: Array, reward: Array, beta: float, lam: float, designer: Array) -> Array:
    r"""The target of UPO (arXiv:2405.17956): :math:`\mu\,\exp(r_p/\beta + \lambda R)`.

    Its derivation has :math:`\pi^* \propto \mu\exp((r_p + \alpha A)/\beta)` with advantage :math:`A = R - V(x)`,
    and :math:`\lambda` in the place of :math:`\alpha/\beta`; V depends on the prompt only and cancels. The loss
    it minimises (KTO plus advantage-weighted likelihood) need not have its minimum there: the distance to
    this target is measured, not assumed to vanish.
    """
    return tilt(mu, reward / beta + lam * designer)


def win_matrix(mu: Array, reward: Array) -> Array:
    r"""Probability of winning against :math:`\mu`: :math:`W(x,y) = E_{y'\sim\mu}\,\sigma(r_p(x,y) - r_p(x,y'))`.

    A response against itself counts 1/2, so that :math:`E_\mu[W] = 1/2` exactly.
    """
    return np.stack([expit(r[:, None] - r[None, :]) @ m for r, m in zip(reward, mu, strict=True)])


def expectation(policy: Array, value: Array) -> Array:
    """Mean over prompts of the policy's expected value; `value` (P, Y), or (K, P, Y) for K at once."""
    means: Array = (policy * value).sum(axis=(-2, -1)) / len(policy)
    return means


def kl(policy: Array, mu: Array) -> float:
    """KL(policy ‖ mu), nats, mean over prompts; `mu` must be positive."""
    return max(float(xlogy(policy, policy / mu).sum() / len(mu)), 0.0)


def entropy(policy: Array) -> float:
    """Entropy of a policy's response, nats, mean over prompts.

    Examples
    --------
    >>> round(entropy(np.array([[0.5, 0.5], [1.0, 0.0]])), 4)
    0.3466
    """
    return float(entr(policy).sum() / len(policy))


def optimum(mu: Array, values: Array, weights: Sequence[float] | Array, budget: float) -> Array:
    r"""The policy that maximises :math:`\sum_k w_k E_\pi[v_k]` among those with KL(π‖μ) ≤ budget.

    Where even the best responses cost less than the budget (every prompt answered by :math:`\mu` restricted
    to its best responses), that policy is the answer, and its KL is below the budget.

    Parameters
    ----------
    mu : ndarray, shape (P, Y)
    values : ndarray, shape (K, P, Y)
        More is better in each.
    weights : sequence of K floats
        Not negative.
    budget : float
        Nats, mean over prompts.

    Examples
    --------
    >>> import numpy as np
    >>> best = optimum(np.full((1, 4), 0.25), np.arange(4.0).reshape(1, 1, 4), [1.0], budget=0.5)
    >>> round(kl(best, np.full((1, 4), 0.25)), 9)
    0.5
    """
    if min(weights) < 0 or budget < 0:
        raise ValueError(f"weights {list(weights)} and the KL budget {budget} must not be negative")
    value = np.tensordot(np.asarray(weights, dtype=float), values, axes=1)
    variance = float(expectation(mu, value**2) - ((mu * value).sum(axis=1) ** 2).mean())
    if budget <= NO_KL or variance <= 1e-15 * np.abs(value).max() ** 2:
        return mu
    best = np.max(value, axis=1, keepdims=True)
    greedy: Array = mu * (value >= best - 1e-12 * np.abs(value).max())
    greedy = greedy / greedy.sum(axis=1, keepdims=True)
    if kl(greedy, mu) <= budget:
        return greedy

    def excess(log_t: float) -> float:
        exponent = math.exp(log_t) * value
        policy, log_partition = tilt_and_log_partition(mu, exponent)
        return math.log(max(float(expectation(policy, exponent)) - log_partition, 1e-300) / budget)

    # KL is t^2 Var(value) / 2 to first order, and log KL nearly straight in log t
    middle = 0.5 * math.log(2.0 * budget / variance)
    low, high, step = middle, middle, 0.25
    while excess(low) > 0.0:
        low -= (step := 2.0 * step)
    while excess(high) < 0.0:
        if high > middle + 60.0:  # only ties are left, up to rounding
            return greedy
        high += (step := 2.0 * step)
    return tilt(mu, math.exp(brentq(excess, low, high, xtol=1e-10)) * value)
