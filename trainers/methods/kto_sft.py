"""KTO with supervised fine-tuning, the control of UPO."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from torch import Tensor

from trainers.checks import check_choices, check_ranges
from trainers.methods.auxiliary import is_active, nested, with_auxiliary
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import Method, register


@register("kto_sft")
@dataclass(frozen=True)
class KTOSFT:
    """KTO with supervised fine-tuning on all data, the control of UPO.

    Name: KTO + SFT
    Formula: L_base + γ·mean over responses of −ℓ̄; base SUM, likelihood MEAN log-probs. Equals UPO with λ = 0.
    Source: arXiv 2405.17956 with λ = 0.
    From memory: nothing.
    Cost: 1.5 (the base's).

    The difference from UPO is the effect of UPO's rewards. Where rewards vary little, UPO's weights are near 1 and its
    auxiliary term is this one.

    Parameters
    ----------
    gamma : float, in [0, inf)
        Weight γ of the likelihood term.
    chosen_only : bool
        Likelihood of desirable responses only.
    aux_warmup : int, in [0, inf)
        Silent steps: the term is 0 in the first `aux_warmup` steps, as UPO's; 100 in the paper.
    base : str
        Name of the preference loss.
    base_parameters : mapping
        Its hyperparameters.
    """

    gamma: float = 0.5
    chosen_only: bool = False
    aux_warmup: int = 0
    base: str = "kto"
    base_parameters: Mapping[str, Any] = field(default_factory=dict)

    sweep: ClassVar[str | None] = "gamma"
    log_probs: ClassVar[str] = "SUM, likelihood MEAN"

    def __post_init__(self) -> None:
        check_ranges(self, gamma="[0, inf)", aux_warmup="[0, inf)")
        check_choices(self, chosen_only=(False, True))
        if self.preference.needs.base_responses:
            raise ValueError(f"KTOSFT: base {self.base!r} adds a response of its own; choose another base")

    @cached_property
    def preference(self) -> Method:
        return nested(self.base, self.base_parameters)

    @property
    def needs(self) -> Needs:
        return self.preference.needs

    def loss(self, batch: MethodBatch) -> Loss:
        coefficient = self.gamma if is_active(batch, self.aux_warmup) else 0.0
        return with_auxiliary(self.preference, batch, batch, self._likelihood, coefficient)

    def _likelihood(self, batch: MethodBatch) -> Tensor:
        if self.chosen_only:
            return -(batch.mean_logps * batch.desirable).sum(dim=1)
        return -batch.mean_logps.mean(dim=1)
