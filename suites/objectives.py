"""Objectives as training rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from harness.records import Objective


def training_reward(objective: Objective, value: float) -> float:
    r"""The value of an objective as a reward in [0, 1], where 1 is the good end of its bounds.

    :math:`R = (v - \text{worst}) / (\text{best} - \text{worst})`, clipped to [0, 1]. For a probability
    this is the value itself where more is better and ``1 - value`` where less is better, e.g. safety
    = 1 - toxicity, which is UPO's R2 (arXiv:2405.17956, section 5) with the maximum over categories.

    Parameters
    ----------
    objective : Objective
        Must have finite bounds.
    value : float
        In the objective's own unit.

    Raises
    ------
    ValueError
        If the objective is unbounded or the value is not a finite number.

    Examples
    --------
    >>> toxicity = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))
    >>> training_reward(toxicity, 0.25)
    0.75
    """
    if not all(map(math.isfinite, objective.bounds)):
        raise ValueError(f"objective {objective.name!r} is unbounded: it cannot be a training reward")
    if not math.isfinite(value):
        raise ValueError(f"objective {objective.name!r}: {value} is not a number to train on")
    low, high = objective.bounds
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share if objective.direction == "maximize" else 1.0 - share


def training_rewards(objective: Objective, values: Sequence[float | None]) -> list[float]:
    """Rewards of many responses; one that could not be measured gets the mean of those that could.

    The mean is neutral: it moves a policy neither towards nor away from texts the scorer cannot judge.

    Examples
    --------
    >>> toxicity = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))
    >>> training_rewards(toxicity, [0.5, None, 0.25])
    [0.5, 0.625, 0.75]
    """
    measured = [training_reward(objective, value) for value in values if value is not None]
    if not measured:
        raise ValueError(f"objective {objective.name!r}: none of the {len(values)} responses could be measured")
    neutral = fmean(measured)
    return [neutral if value is None else training_reward(objective, value) for value in values]
