"""Direct Reward Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.checks import check_choices, check_ranges
from trainers.methods.auxiliary import VALUE_FITS
from trainers.methods.interface import Loss, MethodBatch, Needs, ValueFit
from trainers.methods.registry import register


@register("dro_v")
@dataclass(frozen=True)
class DROV:
    """Direct Reward Optimization with a value function (DRO-V).

    Name: DRO-V
    Formula: ½(R − V(x) − τ·ρ)², a mean over responses; SUM log-probs.
    Source: arXiv 2405.19107.
    From memory: the default τ = 1.
    Cost: 1, and a value head.

    One squared residual teaches policy and value, each through its own parameters. Where the policy is still the
    reference, the best V is the mean reward of a prompt's responses, which it is fitted to before the first step. Needs
    rewards but neither pairs nor labels: the inputs of UPO without its base loss.

    Parameters
    ----------
    tau : float, in (0, inf)
        Strength of the regularisation, in units of the reward per nat.
    value_fit : {"before", "beside"}
        Fit V before the first step, or let it learn beside the policy only, as in the paper.
    """

    tau: float = 1.0
    value_fit: str = "before"

    sweep: ClassVar[str | None] = "tau"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, tau="(0, inf)")
        check_choices(self, value_fit=VALUE_FITS)

    @property
    def needs(self) -> Needs:
        value_fit = ValueFit(0.5, self.value_fit == "before", follows_policy=True)
        return Needs(pairs=False, references=1, rewards=True, values=True, value_fit=value_fit)

    def loss(self, batch: MethodBatch) -> Loss:
        residual = batch.rewards - batch.values[:, None] - self.tau * batch.log_ratios
        metrics = {"reward": batch.rewards, "value": batch.values.detach(), "residual": residual.detach().abs()}
        return Loss(0.5 * residual.square().mean(dim=1), metrics)
