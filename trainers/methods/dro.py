"""Direct Reward Optimization."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from trainers.methods.checks import check_ranges
from trainers.methods.interface import Loss, MethodBatch, Needs
from trainers.methods.registry import register


@register("dro_v")
@dataclass(frozen=True)
class DROV:
    """Direct Reward Optimization with a value function (DRO-V).

    Formula: ½(R − V(x) − τ·ρ)², a mean over responses; SUM log-probs.
    Source: arXiv 2405.19107.
    From memory: the default τ = 1.
    Cost: 1, and a value head.

    One squared residual teaches policy and value, each through its own parameters. Needs rewards but neither
    pairs nor labels: the inputs of UPO without its base loss.

    Parameters
    ----------
    tau : float, in (0, inf)
        Strength of the regularisation, in units of the reward per nat.
    """

    tau: float = 1.0

    needs: ClassVar[Needs] = Needs(pairs=False, references=1, rewards=True, values=True)
    sweep: ClassVar[str | None] = "tau"
    log_probs: ClassVar[str] = "SUM"

    def __post_init__(self) -> None:
        check_ranges(self, tau="(0, inf)")

    def loss(self, batch: MethodBatch) -> Loss:
        residual = batch.rewards - batch.values[:, None] - self.tau * batch.log_ratios
        metrics = {"reward": batch.rewards, "value": batch.values.detach(), "residual": residual.detach().abs()}
        return Loss(0.5 * residual.square().mean(dim=1), metrics)
