"""Costs that an experiment can make an axis of the frontier: columns of the cells table.

An experiment makes one an axis by stating its reference point.
"""

from __future__ import annotations

import math

from harness.records import Objective

COSTS: dict[str, Objective] = {
    objective.name: objective
    for objective in (
        Objective("train_seconds", "Training time", "minimize", "seconds", (0.0, math.inf), "cost"),
        Objective("trained_tokens", "Trained tokens", "minimize", "tokens", (0.0, math.inf), "cost"),
        Objective("generated_tokens", "Generated tokens", "minimize", "tokens", (0.0, math.inf), "cost"),
        Objective("decode_tokens", "Decoded tokens per answer", "minimize", "tokens", (0.0, math.inf), "cost"),
        Objective("adaptation_seconds", "Time for a new user", "minimize", "seconds", (0.0, math.inf), "cost"),
        Objective("judge_cost", "Judge cost", "minimize", "money", (0.0, math.inf), "cost"),
    )
}
