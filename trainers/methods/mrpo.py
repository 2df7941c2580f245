"""Multi-Reference Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic, pairwise


@register("mrpo")
@dataclass(frozen=True)
class MRPO:
    """Multi-Reference Preference Optimization.

    Name: MRPO
    Formula: −log σ(β[(ℓ_w − ℓ̃_w) − (ℓ_l − ℓ̃_l)]), ℓ̃ = −log Σ_k a_k·exp(−ℓ_k), the weighted harmonic mean of
        two references; SUM log-probs.
    Source: arXiv 2405.16388; clipping and weights as in the authors' code.
    From memory: the theory that leads to the harmonic mean (the code was read).
    Cost: 1, and one more reference pass.

    The first reference is the initial model, the second the extra one, clipped to within ±η_y·|ℓ_1| of the
    first: η_w = η·s and η_l = η·(1 − s), s the chosen response's share of the references' mean |log-prob|. A
    reference's confidence is |ℓ_k(w) − ℓ_k(l)|; the authors' code gives the less confident one the larger
    weight, which may be a slip, so both readings are offered.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward.
    eta : float, in [0, inf)
        η, how far (relative) the extra reference may be from the first; 0 is DPO.
    adaptive_clip : bool
        Share η between the responses as above; otherwise η for each.
    weighting : {"less_confident", "more_confident", "equal"}
        Which reference has the larger weight a_k.
    """

    beta: float = 0.1
    eta: float = 0.1
    adaptive_clip: bool = True
    weighting: str = "less_confident"

    needs: ClassVar[Needs] = Needs(references=2)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", eta="[0, inf)")
        check_choices(self, weighting=tuple(WEIGHTINGS), adaptive_clip=(False, True))

    def loss(self, batch: MethodBatch) -> Loss:
        initial, extra = batch.references
        eta = self.eta * (response_shares(initial, extra) if self.adaptive_clip else 1.0)
        clipped = torch.clamp(extra, initial - eta * initial.abs(), initial + eta * initial.abs())
        weight = WEIGHTINGS[self.weighting](confidence(initial), confidence(extra))
        ratios = batch.logps - harmonic_mean(initial, clipped, weight)
        z = self.beta * (ratios[:, 0] - ratios[:, 1])
        return pairwise(z, logistic(z), extra_weight=weight, clipped=(clipped != extra).to(z.dtype))


def confidence(reference: Tensor) -> Tensor:
    """|ℓ(w) − ℓ(l)|, shape (N, 1)."""
    return (reference[:, :1] - reference[:, 1:2]).abs()


def share(part: Tensor, rest: Tensor) -> Tensor:
    """part/(part + rest), and ½ where both are 0."""
    total = part + rest
    return torch.where(total > 0, part / total, 0.5)


def response_shares(initial: Tensor, extra: Tensor) -> Tensor:
    """Each response's share of the mean |log-prob| of a pair, shape (N, 2)."""
    size = (initial + extra).abs()
    return share(size, size.flip(1))


def harmonic_mean(initial: Tensor, extra: Tensor, weight: Tensor) -> Tensor:
    """−log[(1 − a)·exp(−initial) + a·exp(−extra)]."""
    terms = torch.stack([torch.log1p(-weight) - initial, torch.log(weight) - extra])
    return -torch.logsumexp(terms, dim=0)


WEIGHTINGS = {
    "less_confident": lambda initial, extra: share(initial, extra),
    "more_confident": lambda initial, extra: share(extra, initial),
    "equal": lambda initial, extra: torch.full_like(initial, 0.5),
}
"""The extra reference's weight, from the confidences of both."""
