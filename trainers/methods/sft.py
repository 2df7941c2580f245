"""Supervised fine-tuning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_choices
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register


@register("sft")
@dataclass(frozen=True)
class SFT:
    """Supervised fine-tuning on desirable responses.

    Name: SFT
    Formula: −ℓ̄_w (MEAN log-prob per token), or −ℓ_w (SUM) with `average: false`.
    Source: arXiv 2203.02155 (maximum likelihood; most trainers average over tokens, the DPO authors' code sums).
    From memory: nothing.
    Cost: 0.5.

    Of a pair the chosen response is learned; unpaired, undesirable responses have zero loss.

    Parameters
    ----------
    average : bool
        Divide by the number of response tokens.
    """

    average: bool = True

    needs: ClassVar[Needs] = Needs(pairs=False)
    sweep: ClassVar[str | None] = None

    def __post_init__(self) -> None:
        check_choices(self, average=(False, True))

    @property
    def log_probs(self) -> str:
        return "MEAN" if self.average else "SUM"

    def loss(self, batch: MethodBatch) -> Loss:
        logps = (batch.mean_logps if self.average else batch.logps)[:, 0]
        return Loss(-logps * batch.desirable[:, 0], {})
