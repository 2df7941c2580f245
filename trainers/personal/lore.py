r"""LoRe: rewards of users as convex combinations of a few common basis rewards.

The reward of user :math:`i` is :math:`r_i(x, y) = w_i^\top V^\top e(x, y)` with features :math:`e`, a matrix
:math:`V \in R^{d \times B}` of basis rewards and weights :math:`w_i = \mathrm{softmax}(\omega_i)`. Seen users fit V and their
weights together,

.. math:: \min_{V, \omega}\ -\frac1N \sum_n \log \sigma\big(r_{i_n}(x_n, y^w_n) - r_{i_n}(x_n, y^l_n)\big)
          + \frac\lambda2 \|V\|^2,

and a new user fits :math:`\omega` alone. With B = 1 this is Bradley–Terry.

Source: arXiv 2504.14439 (COLM 2025) and its figures. Own here: standardised features in place of a division by 100, a ridge in
place of the distance to a reference head, L-BFGS in place of Adam, and for a new user the mean weights of the seen users as the
start and, by :math:`\frac\rho2\|\omega-\bar\omega\|^2`, as the prior; :math:`\rho = 0` is the paper's fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

from trainers.data.rows import DataError

ITERATIONS = 1000
SMALL = 0.1
"""Standard deviation of the entries of V, times √d, before the first step: bases that are equal stay equal."""


def lore_loss(bases: Tensor, logits: Tensor, differences: Tensor, owners: Tensor, ridge: float) -> Tensor:
    r"""Mean Bradley–Terry loss of pairs under the rewards of their users, with the ridge on V; a scalar, nats.

    Parameters
    ----------
    bases : Tensor, shape (d, B)
        V.
    logits : Tensor, shape (U, B)
        :math:`\omega`.
    differences : Tensor, shape (N, d)
        Features of the chosen response less those of the rejected one.
    owners : Tensor of int64, shape (N,)
        The user of each pair.
    """
    weights = logits.softmax(-1)[owners]
    margins = ((differences @ bases) * weights).sum(-1)
    return -functional.logsigmoid(margins).mean() + 0.5 * ridge * bases.square().sum()


@dataclass(frozen=True, eq=False)
class LoRe:
    """Basis rewards, and the weights that the users have who were seen.

    Parameters
    ----------
    bases : ndarray, shape (d, B)
    weights : ndarray, shape (U, B)
        Not negative, each row with sum 1.
    """

    bases: np.ndarray
    weights: np.ndarray

    def reward(self, features: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Rewards of some features, shape (..., d), for one user's weights, shape (B,); nats, up to a constant."""
        reward: np.ndarray = features @ (self.bases @ weights)
        return reward


def fit_lore(
    differences: np.ndarray, owners: Sequence[int] | np.ndarray, rank: int, ridge: float = 1e-3, seed: int = 0
) -> LoRe:
    """Fit basis rewards and the weights of the seen users to their pairs.

    Parameters
    ----------
    differences : ndarray, shape (N, d)
        Standardised features, chosen less rejected.
    owners : sequence of int, length N
        The users, from 0 on.
    rank : int
        B.
    ridge : float
        λ.
    seed : int
        Of V before the first step.

    Raises
    ------
    DataError
        For a user without pairs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> differences, owners = rng.normal(size=(400, 3)), np.arange(400) % 2
    >>> differences[differences[:, 0] * (1 - 2 * owners) < 0] *= -1  # the two users want the opposite
    >>> lore = fit_lore(differences, owners, rank=2)
    >>> rewards = [lore.reward(np.eye(3), weights) for weights in lore.weights]
    >>> bool(rewards[0][0] > 1), bool(rewards[1][0] < -1)
    (True, True)
    """
    pairs_of = np.bincount(owners)
    if (pairs_of == 0).any():
        raise DataError(f"user {int(np.argmin(pairs_of))}", "has no pairs; every user that is seen needs one")
    n_users, size = len(pairs_of), differences.shape[1]
    rng = np.random.default_rng([seed, rank])
    start = np.concatenate([rng.normal(0, SMALL / size**0.5, size * rank), np.zeros(n_users * rank)])
    data, users = torch.from_numpy(differences.astype(np.float64)), torch.as_tensor(np.asarray(owners))

    def parts(flat: Tensor) -> tuple[Tensor, Tensor]:
        """V and ω."""
        return flat[: size * rank].view(size, rank), flat[size * rank :].view(n_users, rank)

    def loss(flat: Tensor) -> Tensor:
        return lore_loss(*parts(flat), data, users, ridge)

    bases, logits = parts(torch.from_numpy(_minimise(loss, start)))
    return LoRe(bases.numpy(), logits.softmax(-1).numpy())


def adapt_lore(
    lore: LoRe, differences: np.ndarray, owners: Sequence[int] | np.ndarray, users: int, prior: float = 1.0
) -> np.ndarray:
    r"""Weights of new users from their pairs, V fixed, shape (users, B).

    Each user minimises :math:`-\sum_n \log \sigma(\cdot) + \frac\rho2\|\omega - \bar\omega\|^2` from
    :math:`\bar\omega = \log \bar w`, the mean weights of the seen users, which a user without pairs keeps.

    Parameters
    ----------
    prior : float
        ρ.

    Examples
    --------
    >>> lore = LoRe(np.eye(2), np.array([[0.75, 0.25]]))
    >>> adapt_lore(lore, np.zeros((0, 2)), [], users=1).tolist()
    [[0.75, 0.25]]
    """
    mean = lore.weights.mean(axis=0)
    if not len(differences):
        return np.tile(mean, (users, 1))
    centre = torch.from_numpy(np.log(np.maximum(mean, 1e-12)))
    bases, data = (torch.from_numpy(array.astype(np.float64)) for array in (lore.bases, differences))
    whose = torch.as_tensor(np.asarray(owners))
    products = data @ bases

    def loss(flat: Tensor) -> Tensor:
        logits = flat.view(users, -1)
        margins = (products * logits.softmax(-1)[whose]).sum(-1)
        return -functional.logsigmoid(margins).sum() + 0.5 * prior * (logits - centre).square().sum()

    fitted = _minimise(loss, centre.repeat(users).numpy()).reshape(users, -1)
    return torch.from_numpy(fitted).softmax(-1).numpy()


def _minimise(loss: Callable[[Tensor], Tensor], start: np.ndarray) -> np.ndarray:
    def value_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        leaf = torch.from_numpy(flat.copy()).requires_grad_()
        value = loss(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
        return value.item(), gradient.numpy()

    result = minimize(value_and_gradient, start, jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS})
    fitted: np.ndarray = result.x
    return fitted
