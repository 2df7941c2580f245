"""Direct Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("dpo")
@dataclass(frozen=True)
class DPO:
    """Direct Preference Optimization.

    Name: DPO
    Formula: −log σ(βΔ), Δ = ρ_w − ρ_l; SUM log-probs.
    Source: arXiv 2305.18290, eq. 7, with the authors' default.
    From memory: nothing.
    Cost: 1.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ; large values stay near the reference.

    Examples
    --------
    >>> import torch
    >>> zeros = torch.zeros(1, 2)
    >>> batch = MethodBatch(logps=zeros, lengths=zeros + 1, desirable=zeros == 0, reference=zeros)
    >>> DPO().loss(batch).per_example.tolist()
    [0.693]
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(references=1)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        z = self.beta * batch.delta
        return pairwise(z, logistic(z))
