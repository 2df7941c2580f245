"""Designer rewards of an experiment as parameters of the stages that measure them."""

from __future__ import annotations

from collections.abc import Iterable

from harness.inputs.designer_rewards import DeclaredReward


def declared_rewards(names: Iterable[str]) -> tuple[dict[str, DeclaredReward], tuple[str, ...]]:
    """The rewards as their suites declare them, by name, and the modules of their functions.

    Examples
    --------
    >>> rewards, modules = declared_rewards(["readability"])
    >>> rewards["readability"]["bounds"], modules
    ([0.0, 1.0], ('suites.style.readability',))
    """
    from suites.registry import designer_rewards

    declared = designer_rewards()
    rewards: dict[str, DeclaredReward] = {}
    modules = set()
    for name in sorted(names):
        objective, reward = declared[name]
        module = reward.function.__module__
        modules.add(module)
        rewards[name] = DeclaredReward(
            direction=objective.direction,
            bounds=list(objective.bounds),
            function=f"{module}:{reward.function.__name__}",
            needs=list(reward.needs),
        )
    return rewards, tuple(sorted(modules))
