"""A preference loss with an auxiliary term beside it, and the parts of such terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from trainers.methods.interface import Loss, MethodBatch
from trainers.methods.registry import Method, create


def nested(base: str, parameters: Mapping[str, Any]) -> Method:
    """The preference loss inside a method."""
    if not isinstance(parameters, Mapping):
        raise ValueError(f"base_parameters must be a mapping, not {parameters!r}")
    method = create(base, **parameters)
    if method.needs.token_level:
        raise ValueError(f"base {base!r} is a loss on single tokens; choose one on whole responses")
    return method


def with_auxiliary(
    base: Method,
    preference: MethodBatch,
    batch: MethodBatch,
    auxiliary: Callable[[MethodBatch], Tensor],
    coefficient: float,
) -> Loss:
    """base(preference) + coefficient·auxiliary(batch), and each term's share of the gradient.

    Parameters
    ----------
    base : Method
        The preference loss.
    preference, batch : MethodBatch
        Batches of the base and of the auxiliary term; they share `logps` up to a constant.
    auxiliary : callable
        From batch to a loss per example, shape (N,).
    coefficient : float
        0 switches the term off exactly.

    Returns
    -------
    Loss
        Its metrics are the base's, the two terms, and ``auxiliary_gradient_share``:
        Σ|∂L_aux/∂ℓ| / (Σ|∂L_base/∂ℓ| + Σ|∂L_aux/∂ℓ|) over the batch's SUM log-probs ℓ.
    """
    base_loss = base.loss(preference)
    term = coefficient * auxiliary(batch)
    base_pull = _pull(lambda detached: base.loss(detached).per_example, preference)
    term_pull = _pull(lambda detached: coefficient * auxiliary(detached), batch)
    metrics = {
        "base_loss": base_loss.per_example.detach(),
        "auxiliary_loss": term.detach(),
        "auxiliary_gradient_share": term_pull / (base_pull + term_pull).clamp(min=torch.finfo(term.dtype).tiny),
    }
    return Loss(base_loss.per_example + term, {**base_loss.metrics, **metrics})


def _pull(loss: Callable[[MethodBatch], Tensor], batch: MethodBatch) -> Tensor:
    with torch.enable_grad():
        logps = batch.logps.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(replace(batch, logps=logps)).sum(), logps)
    return gradient.abs().sum()


VALUE_FITS = ("before", "beside")
"""When V(x) learns: fitted before the first step and then beside the policy, or beside it only."""


def is_active(batch: MethodBatch, warmup: int) -> bool:
    """Whether an auxiliary term counts at the batch's step: the first `warmup` steps of a run are silent.

    Examples
    --------
    >>> ones = torch.ones(1, 1)
    >>> [is_active(MethodBatch(ones, ones, ones > 0, step=step), warmup=2) for step in range(4)]
    [False, False, True, True]
    """
    return batch.step >= warmup


def expectile(error: Tensor, tau: float) -> Tensor:
    """|τ − 1(e < 0)|·e²: half the squared error at τ = 0.5; a larger τ pulls V towards the high rewards.

    Examples
    --------
    >>> expectile(torch.tensor([2.0, -2.0]), 0.7).tolist()
    [2.8, 1.2]
    """
    return (tau - (error < 0).to(error.dtype)).abs() * error.square()


def effective_sample_size(log_weights: Tensor) -> Tensor:
    """(Σw)²/Σw²: how many equally weighted responses the weights are worth.

    Examples
    --------
    >>> effective_sample_size(torch.tensor([1.0, 1.0, 1.0, 0.0]).log()).item()
    3.0
    """
    return 1 / torch.softmax(log_weights.flatten(), dim=0).square().sum()


def advantage_metrics(batch: MethodBatch, advantage: Tensor, log_weights: Tensor) -> dict[str, Tensor]:
    """Rewards, values, advantages (mean, spread, quantiles) and weights (mean, largest, effective share) to monitor.

    ``weight_effective_share`` is the effective sample size over the number of responses.
    """
    levels = torch.tensor([0.05, 0.5, 0.95], dtype=advantage.dtype, device=advantage.device)
    low, median, high = torch.quantile(advantage, levels)
    return {
        "reward": batch.rewards,
        "value": batch.values.detach(),
        "advantage_mean": advantage.mean(),
        "advantage_std": advantage.std(correction=0),
        "advantage_q05": low,
        "advantage_median": median,
        "advantage_q95": high,
        "weight_mean": log_weights.exp().mean(),
        "weight_max": log_weights.max().exp(),
        "weight_effective_share": effective_sample_size(log_weights) / log_weights.numel(),
    }
