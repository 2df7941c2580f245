"""Relative Preference Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn import functional

from trainers.checks import check_choices, check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic


@register("rpo")
@dataclass(frozen=True)
class RPO:
    """Relative Preference Optimization.

    Name: RPO
    Formula: mean over desirable i and undesirable j of −log σ(ω_ij·β(ρ_i − ρ_j)), ω_i· = softmax_j(−d_ij/τ),
        d = 1 − cosine of the prompts' embeddings; SUM log-probs.
    Source: arXiv 2402.10958 and the authors' code (whose d this is; the text prints d = cosine).
    From memory: nothing.
    Cost: 1, and the prompts' embeddings.

    Every chosen response is set against every rejected one of the optimizer batch, paired or not, the more the
    closer their prompts. The weights of a row sum to 1, so on a pair's own logit the effective β is β·ω_ii < β.
    A batch without both classes has zero loss; the same prompt twice in a batch makes false negatives. The
    authors' fixed-weight diagonal variant is left out.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    tau : float, in (0, inf)
        Temperature of the similarity; the paper takes 0.75 for unpaired data.
    weighting : {"logits", "losses"}
        Where ω enters: inside the logit as in the paper, or as Σ_j ω_ij·loss_ij as in part of the authors' code.
    encoder : str or None
        Folder or hub id of the model whose mean hidden states embed the prompts, such as the paper's
        ``sentence-transformers/all-MiniLM-L6-v2``; None for those of the base itself.
    """

    beta: float = 0.1
    tau: float = 0.5
    weighting: str = "logits"
    encoder: str | None = None

    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)", tau="(0, inf)")
        check_choices(self, weighting=("logits", "losses"))
        if self.encoder is not None and not (isinstance(self.encoder, str) and self.encoder):
            raise ValueError(f"RPO: encoder must name a model, not {self.encoder!r}")

    @property
    def needs(self) -> Needs:
        return Needs(pairs=False, references=1, embeddings=True, encoder=self.encoder, couples_examples=True)

    def loss(self, batch: MethodBatch) -> Loss:
        ratios, (examples, _) = batch.log_ratios, batch.logps.shape
        winners, losers = batch.desirable.nonzero()[:, 0], (~batch.desirable).nonzero()[:, 0]
        delta = ratios[batch.desirable][:, None] - ratios[~batch.desirable][None, :]
        weights = similarity(batch.embeddings[winners], batch.embeddings[losers], self.tau)
        z = (weights if self.weighting == "logits" else 1.0) * (self.beta * delta)
        averaging = 1 / max(len(losers), 1) if self.weighting == "logits" else weights
        rows = (averaging * logistic(z)).sum(dim=1) * (examples / max(len(winners), 1))
        per_example = rows.new_zeros(examples).index_add(0, winners, rows)
        return Loss(per_example, {"largest_weight": weights.amax(dim=1).mean() if weights.numel() else weights.sum()})


def similarity(winners: Tensor, losers: Tensor, tau: float) -> Tensor:
    """ω: for each winner's prompt a softmax over the losers' prompts of −(1 − cosine)/τ."""
    cosine = functional.normalize(winners, dim=1) @ functional.normalize(losers, dim=1).T
    return ((cosine - 1) / tau).softmax(dim=1)
