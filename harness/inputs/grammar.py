"""Texts off the grammar of the oracle world, among item scores."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from harness.records import Generation, ItemScore, Objective, Status
from suites.oracle.world import World


def fail_off_grammar(
    items: Iterable[ItemScore], generations: Iterable[Generation], world: World, objectives: Iterable[Objective]
) -> list[ItemScore]:
    """The items, with the worst value for texts that are no answer of the oracle world.

    The closed forms count probability off the grammar as the worst value of every objective; scores of samples must
    agree with them. Items of objectives whose worst value is infinite stay as they are.
    """
    off_grammar = {g.item for g in generations if world.parse(g.prompt, g.response) is None}
    worst = {objective.name: objective.worst for objective in objectives if math.isfinite(objective.worst)}
    return [
        replace(item, value=worst[item.objective], status=Status.UNPARSABLE)
        if item.item in off_grammar and item.objective in worst and item.status is not Status.EMPTY
        else item
        for item in items
    ]
