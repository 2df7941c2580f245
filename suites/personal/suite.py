"""The suite ``steer``: exact figures of a policy for each unseen user of a population."""

from __future__ import annotations

import math

from harness.records import Objective
from suites.registry import Suite, register

OBJECTIVES = (
    Objective("user_value", "Value for a user", "maximize", "probability", (0.0, 1.0), "user"),
    Objective("user_regret", "Regret for a user", "minimize", "nats", (0.0, math.inf), "user"),
    Objective("user_accuracy", "Accuracy on a user's labels", "maximize", "probability", (0.0, 1.0), "descriptive"),
    Objective("user_bayes_regret", "Regret of the Bayes policy", "minimize", "nats", (0.0, math.inf), "descriptive"),
)
"""One item for each unseen user, which is its own cluster: intervals are over users."""

register(Suite("steer", objectives=OBJECTIVES, needs=("policy", "users", "device")))
