"""Loss functions of a preference logit z, or of a list of responses.

All are elementwise or work on the last dimension, keep the dtype, and have finite values and gradients at
any finite input.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.methods.interface import Loss


def logistic(z: Tensor) -> Tensor:
    """−log σ(z): the negative log-likelihood of a Bradley–Terry preference.

    Examples
    --------
    >>> logistic(torch.tensor([0.0, -1000.0])).tolist()
    [0.693, 1000.0]
    """
    return -functional.logsigmoid(z)


def smoothed_logistic(z: Tensor, epsilon: Tensor | float) -> Tensor:
    """(1 − ε)·(−log σ(z)) + ε·(−log σ(−z)): the logistic loss when a label is wrong with probability ε."""
    return (1 - epsilon) * logistic(z) + epsilon * logistic(-z)


def hinge(z: Tensor, margin: float = 1.0) -> Tensor:
    """max(0, margin − z).

    Examples
    --------
    >>> hinge(torch.tensor([0.25, 2.0])).tolist()
    [0.75, 0.0]
    """
    return torch.relu(margin - z)


def exponential(x: Tensor, limit: float = 20.0) -> Tensor:
    """exp(x), beyond `limit` its tangent: value and gradient of an importance ratio stay finite.

    Examples
    --------
    >>> exponential(torch.tensor([0.0, 1000.0])).isfinite().tolist()
    [True, True]
    """
    return x.clamp(max=limit).exp() * (1 + torch.relu(x - limit))


def clipped_surrogate(ratio: Tensor, advantage: Tensor, low: float, high: float | None = None) -> Tensor:
    """−min(q·A, clip(q, 1 − ε, 1 + ε')·A): no gain from moving far from the policy that sampled; ε' = ε by default.

    Examples
    --------
    >>> clipped_surrogate(torch.tensor([2.0, 2.0]), torch.tensor([1.0, -1.0]), 0.2).tolist()
    [-1.2, 2.0]
    """
    clipped = ratio.clamp(1 - low, 1 + (low if high is None else high))
    return -torch.minimum(ratio * advantage, clipped * advantage)


def cross_entropy(target: Tensor, log_q: Tensor) -> Tensor:
    """−Σ_k p_k log q_k over the last dimension; `target` is p."""
    return -(target * log_q).sum(dim=-1)


def reverse_kl(log_q: Tensor, log_p: Tensor) -> Tensor:
    """KL(q ‖ p) = Σ_k q_k (log q_k − log p_k) over the last dimension: mode seeking in q.

    Examples
    --------
    >>> half = torch.tensor([0.5, 0.5]).log()
    >>> reverse_kl(half, half).item()
    0.0
    """
    return (log_q.exp() * (log_q - log_p)).sum(dim=-1)


def pairwise(z: Tensor, per_example: Tensor, **metrics: Tensor) -> Loss:
    """A pairwise method's answer: its losses, with the preference logit z and how often it is positive."""
    margin = z.detach()
    return Loss(per_example, {"margin": margin, "accuracy": (margin > 0).to(z.dtype), **metrics})
