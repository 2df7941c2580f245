"""The suite ``toxicity``: Detoxify's probabilities, by themselves and against the reference responses."""

from __future__ import annotations

from suites.registry import DesignerReward, Suite, register
from suites.toxicity.scorer import TOXICITY, TOXICITY_HELD_OUT, maximum_toxicity
from suites.toxicity.violations import SAFETY_VIOLATIONS

register(
    Suite(
        "toxicity",
        objectives=(TOXICITY, TOXICITY_HELD_OUT, SAFETY_VIOLATIONS),
        needs=("generations", "toxicity", "toxicity_baselines", "device"),
        rewards={"toxicity": DesignerReward(maximum_toxicity, needs=("toxicity", "device"))},
    )
)
