"""Unified Preference Optimization."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from trainers.checks import check_choices, check_ranges
from trainers.methods.auxiliary import VALUE_FITS, advantage_metrics, expectile, is_active, nested, with_auxiliary
from trainers.methods.interface import Loss, MethodBatch, Needs, ValueFit
from trainers.methods.registry import Method, register
from trainers.methods.terms import reverse_kl


@register("upo")
@dataclass(frozen=True)
class UPO:
    """Unified Preference Optimization.

    Name: UPO
    Formula: L_base + γ·mean over responses of −exp(λA)·ℓ̄ + c_V·|τ − 1(R − V < 0)|·(R − V)², A = R − V(x) with V
        detached; base SUM, auxiliary MEAN log-probs, over chosen and rejected alike.
    Source: arXiv 2405.17956 (also circulated as HPO), appendix code; defaults of its table.
    From memory: the expectile τ = 0.7, which the paper does not give (the convention of IQL).
    Cost: 1.5 with KTO as base; value head and weights add less than 0.4%.

    The user's preference is fitted by any base loss, the designer's reward R by advantage-weighted likelihood
    on the same responses. V(x) depends on the prompt alone and is fitted before the first step, on the base's states
    at the prompts' ends, and then learns beside the policy. The paper fits nothing beforehand and keeps the auxiliary
    term silent for 100 steps (`value_fit: beside`, `aux_warmup: 100`); a head that still says 0 then multiplies γ by
    up to exp(λR). Rewards are not normalised: for rewards in [0, 1], λ = 5 bounds the weights by e⁵ ≈ 148.

    Parameters
    ----------
    gamma : float, in [0, inf)
        Weight γ of the auxiliary term; 0 leaves the base's gradient as it is.
    inverse_temperature : float, in [0, inf)
        λ: how sharply the auxiliary term prefers rewarded responses; 0 is plain likelihood.
    tau : float, in (0, 1)
        Expectile that V learns; 0.5 is the mean.
    value_coefficient : float, in [0, inf)
        c_V; the value loss reaches the value head only.
    value_fit : {"before", "beside"}
        Fit V before the first step, to convergence on held-out prompts, or let it learn beside the policy only, as in
        the paper. With `value: response_mean` it is fitted on states of the responses.
    aux_warmup : int, in [0, inf)
        Silent steps: the auxiliary term is 0 in the first `aux_warmup` steps; 100 in the paper.
    max_weight : float, in (0, inf), or None
        Clamp of exp(λA); None, as in the paper, for none.
    auxiliary : {"forward_kl", "reverse_kl"}
        The paper's weighted likelihood, or its mode-seeking counterpart over one prompt's responses,
        KL(softmax(ρ) ‖ softmax(λR)), whose self-normalised importance weights need no sampling (pairs only).
    aux_margin_in_preference : bool
        Take αA off the implicit reward that the base sees, as the derivation (but not the paper's code)
        does: a pair's logit becomes βΔ − αΔR. For bases with `beta` on SUM log-ratios.
    alpha : float, in [0, inf)
        α of that margin.
    value : {"prompt", "response_mean"}
        What V is: the head at the last prompt token, which sees x alone, or its mean over the positions that
        predict the response, which is a V(x, y) for every response. The paper's code does not show which.
    base, base_parameters : str, mapping
        Name and hyperparameters of the preference loss.
    """

    gamma: float = 0.5
    inverse_temperature: float = 5.0
    tau: float = 0.7
    value_coefficient: float = 0.1
    value_fit: str = "before"
    aux_warmup: int = 0
    max_weight: float | None = None
    auxiliary: str = "forward_kl"
    aux_margin_in_preference: bool = False
    alpha: float = 1.0
    value: str = "prompt"
    base: str = "kto"
    base_parameters: Mapping[str, Any] = field(default_factory=dict)

    sweep: ClassVar[str | None] = "gamma"
    log_probs: ClassVar[str] = "SUM, auxiliary MEAN"

    def __post_init__(self) -> None:
        check_ranges(
            self, gamma="[0, inf)", inverse_temperature="[0, inf)", tau="(0, 1)", value_coefficient="[0, inf)",
            aux_warmup="[0, inf)", alpha="[0, inf)",
        )  # fmt: skip
        if self.max_weight is not None:
            check_ranges(self, max_weight="(0, inf)")
        check_choices(
            self, auxiliary=tuple(AUXILIARIES), aux_margin_in_preference=(False, True), value=tuple(VALUES),
            value_fit=VALUE_FITS,
        )  # fmt: skip
        base, reverse = self.preference, self.auxiliary == "reverse_kl"
        if base.needs.base_responses or base.needs.values or (reverse and base.needs.references > 1):
            own = "a value head, a further reference or a response of its own"
            raise ValueError(f"UPO: base {self.base!r} has {own}; choose another base")
        on_sums = hasattr(base, "beta") and base.needs.references > 0 and base.log_probs == "SUM"
        if self.aux_margin_in_preference and not on_sums:
            needed = "a base on beta times SUM log-ratios"
            raise ValueError(f"UPO: aux_margin_in_preference needs {needed}, not {self.base!r}")

    @cached_property
    def preference(self) -> Method:
        return nested(self.base, self.base_parameters)

    @property
    def preference_beta(self) -> float:
        """β of the base; AttributeError for a base without one."""
        return float(getattr(self.preference, "beta"))  # noqa: B009 - not every method has one

    @property
    def needs(self) -> Needs:
        base = replace(
            self.preference.needs, rewards=True, values=True, token_level=self.value == "response_mean",
            value_fit=ValueFit(self.tau, self.value_fit == "before"),
        )  # fmt: skip
        return replace(base, pairs=True, references=1) if self.auxiliary == "reverse_kl" else base

    def loss(self, batch: MethodBatch) -> Loss:
        error = batch.rewards - VALUES[self.value](batch)
        advantage = error.detach()
        ceiling = math.inf if self.max_weight is None else math.log(self.max_weight)
        log_weights = (self.inverse_temperature * advantage).clamp(max=ceiling)
        term = partial(AUXILIARIES[self.auxiliary], log_weights=log_weights)
        active = is_active(batch, self.aux_warmup)
        coefficient = self.gamma if active else 0.0
        policy = with_auxiliary(self.preference, self._less_margin(batch, advantage), batch, term, coefficient)
        value_loss = expectile(error, self.tau).mean(dim=1)
        metrics = {"value_loss": value_loss.detach()}
        if active:
            metrics |= advantage_metrics(batch, advantage, log_weights)
        return Loss(policy.per_example + self.value_coefficient * value_loss, {**policy.metrics, **metrics})

    def _less_margin(self, batch: MethodBatch, advantage: Tensor) -> MethodBatch:
        if not self.aux_margin_in_preference:
            return batch
        return replace(batch, logps=batch.logps - self.alpha / self.preference_beta * advantage)


def weighted_likelihood(batch: MethodBatch, log_weights: Tensor) -> Tensor:
    """−exp(λA)·ℓ̄, a mean over responses: forward KL to π_ref·exp(λA), on data of the reference."""
    return -(log_weights.exp() * batch.mean_logps).mean(dim=1)


def mode_seeking(batch: MethodBatch, log_weights: Tensor) -> Tensor:
    """KL(softmax(ρ) ‖ softmax(λA)) over a prompt's responses: reverse KL to the same target; V cancels."""
    return reverse_kl(torch.log_softmax(batch.log_ratios, dim=1), torch.log_softmax(log_weights, dim=1))


def prompt_value(batch: MethodBatch) -> Tensor:
    """V(x), shape (N, 1)."""
    return batch.values[:, None]


def response_mean(batch: MethodBatch) -> Tensor:
    """Mean of V(x, y_<t) over the tokens of each response, shape (N, K)."""
    tokens = batch.tokens
    return (tokens.values * tokens.mask).sum(-1) / tokens.mask.sum(-1)


VALUES = {"prompt": prompt_value, "response_mean": response_mean}
AUXILIARIES = {"forward_kl": weighted_likelihood, "reverse_kl": mode_seeking}
