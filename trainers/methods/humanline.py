"""Humanline alignment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from trainers.checks import check_choices, check_ranges
from trainers.methods.auxiliary import nested
from trainers.methods.interface import Loss, MethodBatch, Needs, ReferenceUpdate
from trainers.methods.registry import Method, register


@register("humanline")
@dataclass(frozen=True)
class Humanline:
    """Humanline alignment: log-ratios clamped token by token, against the policy of one step before.

    Name: humanline
    Formula: the base's loss with ρ = Σ_t clamp(log π(y_t)/π_ref(y_t), a, b); θ_ref ← θ after the gradient of every step;
        SUM log-probs for DPO, otherwise the base's.
    Source: arXiv 2509.24207; the clamp, its defaults and the lag of the reference as in the authors' code (HALOs).
    From memory: nothing. The authors' KTO clamps the mismatched responses too; a base with mismatched responses is
        left out here.
    Cost: 1.3, as the reference of a batch cannot be computed beforehand, and a second copy of the policy in memory.

    A token whose probability has fallen or risen too far has no gradient. The authors' code copies the policy into the
    reference between gradient and step, so that the reference is one step behind; without `follow` it stays the base.

    Parameters
    ----------
    low : float, in (−inf, 0)
        a, log ε_P of the authors.
    high : float, in (0, inf)
        b, log ε_R of the authors.
    follow : bool
        Whether the reference follows the policy.
    base : str
        Name of the preference loss.
    base_parameters : mapping
        Its hyperparameters.
    """

    low: float = -1.0
    high: float = 1.5
    follow: bool = True
    base: str = "dpo"
    base_parameters: Mapping[str, Any] = field(default_factory=dict)

    sweep: ClassVar[str | None] = "high"

    def __post_init__(self) -> None:
        check_ranges(self, low="(-inf, 0)", high="(0, inf)")
        check_choices(self, follow=(False, True))
        needs = self.preference.needs
        if needs.references != 1 or needs.mismatched or needs.reference_update is not None or needs.base_responses:
            raise ValueError(
                f"Humanline: base {self.base!r} must compare with one reference, on its own responses alone"
            )

    @cached_property
    def preference(self) -> Method:
        return nested(self.base, self.base_parameters)

    @property
    def log_probs(self) -> str:
        return f"{self.preference.log_probs}, clamped per token"

    @property
    def needs(self) -> Needs:
        update = ReferenceUpdate(mix=1.0, interval=1, lagged=True) if self.follow else None
        return replace(self.preference.needs, token_level=True, reference_update=update)

    def loss(self, batch: MethodBatch) -> Loss:
        tokens = batch.tokens
        clamped = tokens.log_ratios.clamp(self.low, self.high)
        free = ((clamped == tokens.log_ratios) & tokens.mask).sum() / tokens.mask.sum()
        loss = self.preference.loss(replace(batch, logps=batch.reference + clamped.sum(dim=-1)))
        return Loss(loss.per_example, {**loss.metrics, "unclamped": free.to(clamped.dtype)})
