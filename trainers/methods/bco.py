"""Binary Classifier Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register
from trainers.methods.terms import logistic


@register("bco")
@dataclass(frozen=True)
class BCO:
    """Binary Classifier Optimization.

    Name: BCO
    Formula: desirable: −log σ(βρ − δ); undesirable: −log σ(δ − βρ); δ = sg[mean of βρ over the optimizer batch]; SUM
        log-probs.
    Source: arXiv 2404.04656; the form of TRL.
    From memory: the default β = 0.1, which is TRL's.
    Cost: 1.

    The logit of a classifier that tells desirable from undesirable responses is the implicit reward less the reward
    shift δ. Both responses of a pair are singletons, so a pair's loss is the mean of its two, half of TRL's sum. The
    paper and earlier versions of TRL take δ from a running mean over batches; TRL's present loss of type "bco_pair"
    has δ = 0. The mean over one optimizer batch keeps the loss free of state. The paper's importance weights for
    different prompt distributions of the two classes (underlying distribution matching) are left out.

    Parameters
    ----------
    beta : float, in (0, inf)
        Inverse temperature of the implicit reward β·ρ.
    """

    beta: float = 0.1

    needs: ClassVar[Needs] = Needs(pairs=False, references=1, couples_examples=True)
    sweep: ClassVar[str | None] = "beta"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, beta="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        implicit = self.beta * batch.log_ratios
        shift = implicit.detach().mean()
        sign = 2 * batch.desirable.to(implicit.dtype) - 1
        return Loss(logistic(sign * (implicit - shift)).mean(dim=1), {"reward_shift": shift})
