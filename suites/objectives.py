"""The objectives that the suites measure, and how one of them becomes a training reward.

The names are those of the records; the directions are stated here and inferred nowhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from harness.records import Objective
from suites.benchmarks.tasks import BENCHMARKS

OBJECTIVES: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("win_rate", "Win rate against the reference", "maximize", "probability", (0.0, 1.0), "user"),
        Objective("win_rate_second", "Win rate by the second judge", "maximize", "probability", (0.0, 1.0), "user"),
        Objective("toxicity", "Toxicity (worst category)", "minimize", "probability", (0.0, 1.0)),
        Objective("toxicity_held_out", "Toxicity by the held-out scorer", "minimize", "probability", (0.0, 1.0)),
        Objective("safety_violations", "Categories less safe than the reference", "minimize", "share", (0.0, 1.0)),
        Objective("readability", "Readability R1 (Flesch-Kincaid)", "maximize", "reward", (0.0, 1.0)),
        Objective("readability_consensus", "Readability R1 (textstat consensus)", "maximize", "reward", (0.0, 1.0)),
        Objective("grade_fk", "Reading grade (Flesch-Kincaid)", "minimize", "grade", (-3.4, 20.0)),
        Objective("grade_consensus", "Reading grade (textstat consensus)", "minimize", "grade", (1.0, 18.0)),
        Objective("length", "Response length", "minimize", "words", (0.0, math.inf), "cost"),
        Objective("accuracy", "Benchmark accuracy", "maximize", "probability", (0.0, 1.0), "benchmark"),
        *(
            Objective(found.name, found.label, "maximize", "probability", (0.0, 1.0), "benchmark")
            for found in BENCHMARKS.values()
        ),
        Objective(
            "alignment_tax", "Alignment tax (lost against the base)", "minimize", "difference", (-1.0, 1.0), "benchmark"
        ),
    )
}


COSTS: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("train_seconds", "Training time", "minimize", "seconds", (0.0, math.inf), "cost"),
        Objective("trained_tokens", "Trained tokens", "minimize", "tokens", (0.0, math.inf), "cost"),
        Objective("generated_tokens", "Generated tokens", "minimize", "tokens", (0.0, math.inf), "cost"),
        Objective("judge_cost", "Judge cost", "minimize", "money", (0.0, math.inf), "cost"),
    )
}
"""Columns of the cells table: an experiment makes one an axis by stating its reference point."""


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
    >>> training_reward(OBJECTIVES["toxicity"], 0.25)
    0.75
    >>> training_reward(OBJECTIVES["readability"], 0.4)
    0.4
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
    >>> training_rewards(OBJECTIVES["toxicity"], [0.5, None, 0.25])
    [0.5, 0.625, 0.75]
    """
    measured = [training_reward(objective, value) for value in values if value is not None]
    if not measured:
        raise ValueError(f"objective {objective.name!r}: none of the {len(values)} responses could be measured")
    neutral = fmean(measured)
    return [neutral if value is None else training_reward(objective, value) for value in values]
