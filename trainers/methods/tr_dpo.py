"""Trust Region DPO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

from trainers.checks import check_counts, check_ranges
from trainers.methods.auxiliary import nested
from trainers.methods.interface import Loss, MethodBatch, Needs, ReferenceUpdate
from trainers.methods.registry import Method, register


@register("tr_dpo")
@dataclass(frozen=True)
class TRDPO:
    """Trust Region DPO: a reference that follows the policy (TR-DPO).

    Name: TR-DPO
    Formula: the base's loss with a reference that moves: θ_ref ← α·θ + (1 − α)·θ_ref before every τ-th step; SUM
        log-probs for DPO, otherwise the base's.
    Source: arXiv 2404.09656; TRL's `sync_ref_model` has the same two settings.
    From memory: the default α = 0.6 of the soft update; τ = 512 is TRL's.
    Cost: 1.3, as the reference of a batch cannot be computed beforehand, and a second copy of the policy in memory.

    α = 1 is the paper's hard update, which replaces the reference by the policy. The reference starts at the base. It
    does not depend on the split into micro-batches, and it is saved with a run's state. The paper's TR-IPO is the base
    `ipo`; TR-KTO is left out, because KTO's mismatched responses would need the moving reference too. The outer loop
    `rounds` starts every round with a new reference and a new optimizer.

    Parameters
    ----------
    mix : float, in (0, 1]
        α, the policy's share in the new reference.
    interval : int, in [1, inf)
        τ, in optimizer steps; longer than the run leaves the base as it is.
    base : str
        Name of the preference loss.
    base_parameters : mapping
        Its hyperparameters.
    """

    mix: float = 0.6
    interval: int = 512
    base: str = "dpo"
    base_parameters: Mapping[str, Any] = field(default_factory=dict)

    sweep: ClassVar[str | None] = "mix"

    def __post_init__(self) -> None:
        check_ranges(self, mix="(0, 1]")
        check_counts(self, interval=1)
        needs = self.preference.needs
        if needs.references != 1 or needs.mismatched or needs.reference_update is not None:
            raise ValueError(f"TRDPO: base {self.base!r} must compare with one reference, on its own responses alone")

    @cached_property
    def preference(self) -> Method:
        return nested(self.base, self.base_parameters)

    @property
    def log_probs(self) -> str:
        return self.preference.log_probs

    @property
    def needs(self) -> Needs:
        return replace(self.preference.needs, reference_update=ReferenceUpdate(self.mix, self.interval))

    def loss(self, batch: MethodBatch) -> Loss:
        return self.preference.loss(batch)
