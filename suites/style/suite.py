"""The suite ``style``: reading grade, readability and length."""

from __future__ import annotations

from harness.records import Generation
from suites.registry import DesignerReward, Rows, suite
from suites.style import lexical
from suites.style.readability import readabilities


@suite(
    "style",
    objectives=lexical.OBJECTIVES,
    needs=["generations"],
    rewards={"readability": DesignerReward(readabilities)},
)
def style(generations: list[Generation]) -> Rows:
    """Score every generation (`suites.style.lexical.style`)."""
    return lexical.style(generations)
