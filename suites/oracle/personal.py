r"""Exact figures of policies for users with different rewards: value, regret, accuracy and the steering matrix.

All policies are tables of shape (P, Y), all rewards :math:`r` of shape (P, Y) in nats (`suites.oracle.population`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import expit

from suites.oracle.truth import Array, expectation, kl, optimum, tilt, win_matrix


def user_value(policy: Array, mu: Array, reward: Array) -> float:
    r"""Win rate against :math:`\mu` in the eyes of the user with this reward; 1/2 for :math:`\mu` itself."""
    return float(expectation(policy, win_matrix(mu, reward)))


def regret(policy: Array, mu: Array, reward: Array, budget: float | None = None) -> float:
    r"""Win rate that the user's optimum at a KL budget has more than a policy: :math:`W(\pi^*_\kappa) - W(\pi)`.

    Parameters
    ----------
    budget : float, optional
        Nats; the policy's own KL from `mu` if not given.

    Examples
    --------
    >>> import numpy as np
    >>> mu, reward = np.full((1, 4), 0.25), np.arange(4.0).reshape(1, 4)
    >>> regret(mu, mu, reward)
    0.0
    """
    wins = win_matrix(mu, reward)
    best = optimum(mu, wins[None], [1.0], kl(policy, mu) if budget is None else budget)
    return float(expectation(best, wins) - expectation(policy, wins))


def regularised_regret(policy: Array, mu: Array, reward: Array, beta: float) -> float:
    r"""What a policy lacks in :math:`J = E\,r - \beta\,KL(\pi\|\mu)`; equal to :math:`\beta\,KL(\pi \| \pi^*)`, in nats.

    The optimum is the tilt :math:`\pi^* \propto \mu\,e^{r/\beta}`. The policy is one on the enumerated responses.

    Examples
    --------
    >>> import numpy as np
    >>> mu, reward = np.full((1, 4), 0.25), np.arange(4.0).reshape(1, 4)
    >>> regularised_regret(tilt(mu, reward / 0.5), mu, reward, beta=0.5)
    0.0
    """
    return beta * kl(policy, tilt(mu, reward / beta))


def regularised_value(policy: Array, mu: Array, reward: Array, beta: float) -> float:
    r""":math:`J = E_\pi[r] - \beta\,KL(\pi\|\mu)`, nats, mean over prompts."""
    return float(expectation(policy, reward)) - beta * kl(policy, mu)


def accuracy(scores: Array, mu: Array, reward: Array) -> float:
    r"""Share of a user's labels that agree with the order of some scores, exactly, over pairs of draws from :math:`\mu`.

    Pairs are :math:`P(y, y') \propto \mu(y)\mu(y')\,1[y \ne y']`, labels Bradley-Terry; equal scores agree by half. With
    ``scores = reward`` it is the ceiling :math:`E \max(\sigma, 1-\sigma)`.

    Parameters
    ----------
    scores : ndarray, shape (P, Y)
        Such as :math:`\log \pi/\mu`.

    Examples
    --------
    >>> import numpy as np
    >>> mu = np.full((1, 2), 0.5)
    >>> round(accuracy(np.array([[0.0, 1.0]]), mu, np.array([[0.0, np.log(3.0)]])), 9)
    0.75
    """
    agreements = []
    for s, m, r in zip(scores, mu, reward, strict=True):
        joint = np.outer(m, m)
        np.fill_diagonal(joint, 0.0)
        prefers = 0.5 + 0.5 * np.sign(s[:, None] - s[None, :])
        # Twice the ordered pair with the first preferred, by symmetry.
        agreement = 2.0 * (joint * prefers * expit(r[:, None] - r[None, :])).sum()
        agreements.append(agreement / joint.sum())
    return float(np.mean(agreements))


def steering_matrix(policies: Sequence[Array], mu: Array, rewards: Sequence[Array]) -> Array:
    """Value for user v of the policy that was given the context of user u: entry [u, v] of an array of shape (U, U)."""
    wins = [win_matrix(mu, reward) for reward in rewards]
    return np.array([[float(expectation(policy, win)) for win in wins] for policy in policies])


def steering_gain(matrix: Array) -> float:
    """Mean of a steering matrix' diagonal less the mean off it: 0 where a context makes no difference.

    Examples
    --------
    >>> import numpy as np
    >>> steering_gain(np.array([[0.75, 0.5], [0.5, 0.75]]))
    0.25
    """
    if len(matrix) < 2:
        raise ValueError("a steering matrix needs at least two users")
    off = ~np.eye(len(matrix), dtype=bool)
    return float(matrix.diagonal().mean() - matrix[off].mean())


def taste_range(policies: Sequence[Array], taste: Array) -> float:
    """Largest less smallest expectation of a taste over policies, in its standard deviations under `mu`."""
    means = [float(expectation(policy, taste)) for policy in policies]
    return max(means) - min(means)
