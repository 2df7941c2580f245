"""Loops around whole training runs: rounds with extrapolation, and mixtures of finished policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from trainers.checks import check_ranges


@dataclass(frozen=True)
class Rounds:
    """Iterative and accelerated preference optimization (APO).

    Formula: θ̂_{t+1} = argmin of the loss from θ_t with reference π_{θ_t}, on data sampled from π_{θ_t};
        θ_{t+1} = θ̂_{t+1} + α·(θ̂_{t+1} − θ̂_t); the result is θ̂_{T+1}, before extrapolation.
    Source: arXiv 2410.06293, algorithm 1 and section 3.2 (in weight space).
    From memory: nothing.
    Cost: T trainings, and the samples of each round.

    Around any method. Every round begins at its own reference; α = 0 is the plain iterative loss. With a data step that
    needs samples, each round samples from the policy it begins at; without `data` it learns from the given pairs again.
    The paper's β of 0.01, 0.1 and 1 in three rounds is `beta_growth` 10 from a method's β of 0.01. Not the anchored
    preference optimization of arXiv 2408.06266 (`apo_zero`, `apo_down`).

    Parameters
    ----------
    count : int, at least 1
        T.
    extrapolation : float, in [0, 1]
        α; 0.3 in the paper, which tried 0.1 to 0.6.
    beta_growth : float, in (0, inf)
        Factor of the method's β from one round to the next; 1 leaves it as it is.
    """

    count: int = 3
    extrapolation: float = 0.0
    beta_growth: float = 1.0

    sweep: ClassVar[str | None] = "extrapolation"

    def __post_init__(self) -> None:
        check_ranges(self, count="[1, inf)", extrapolation="[0, 1]", beta_growth="(0, inf)")
        if not isinstance(self.count, int):
            raise ValueError(f"Rounds: count must be a whole number, not {self.count!r}")

    @property
    def weights(self) -> tuple[float, float]:
        """Of θ̂_{t+1} and θ̂_t in θ_{t+1}."""
        return (1.0 + self.extrapolation, -self.extrapolation)

    def parameters(self, number: int, given: Mapping[str, Any], beta: float) -> Mapping[str, Any]:
        """The method's hyperparameters in round `number`, from 0: those given, with β·growth^number.

        Examples
        --------
        >>> Rounds(beta_growth=10.0).parameters(2, {"epsilon": 0.1}, 0.01)
        {'epsilon': 0.1, 'beta': 1.0}
        >>> Rounds().parameters(2, {}, 0.01)
        {}
        """
        return given if self.beta_growth == 1 else {**given, "beta": beta * self.beta_growth**number}


@dataclass(frozen=True)
class Soup:
    """Rewarded Soups.

    Formula: θ = Σ_i w_i·θ_i, policies trained from one base for one reward each.
    Source: arXiv 2306.04488.
    From memory: nothing.
    Cost: none beyond its policies, whatever the number of points.

    The sum runs over whole weights in float32, adapters merged first: sums of LoRA's factors would not be sums of
    weights.

    Parameters
    ----------
    share : float, in [0, 1]
        Weight of the last policy; the others have equal parts of the rest.
    """

    share: float = 0.5

    sweep: ClassVar[str | None] = "share"

    def __post_init__(self) -> None:
        check_ranges(self, share="[0, 1]")

    def weights(self, policies: int) -> list[float]:
        """One for each policy.

        Examples
        --------
        >>> Soup(0.5).weights(3)
        [0.25, 0.25, 0.5]
        """
        return [(1.0 - self.share) / (policies - 1)] * (policies - 1) + [self.share]


OUTER = {"rounds": Rounds, "soup": Soup}
"""By the key of an experiment's entry."""
