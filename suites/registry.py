"""Registry of suites: objectives, needs, and the function from needs to item scores.

A suite is a module ``suites/NAME/suite.py``, or a file of the user's, that calls `register` (a declaration) or
decorates a function with `suite`. Declarations are checked at import; an error names the file.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from pathlib import Path

from harness.records import ItemScore, Measure, Objective

NEEDS: Mapping[str, str] = {
    "generations": "the policy's responses to the evaluation prompts, a list of `harness.records.Generation`",
    "references": "the prompts' reference responses by prompt id; None for a prompt without one",
    "policy": "the folder of the policy's checkpoint",
    "device": "the device of the experiment, such as ``cpu`` or ``cuda``",
    "judge": "the experiment's judge",
    "toxicity": "the toxicity scorer, and the one that is held out",
    "toxicity_baselines": "the toxicity of the prompts and of their reference responses",
    "enumeration": "every response of the oracle world with its objectives",
    "target": "the method, its hyperparameters and its weights, where a closed form of its optimum is known",
    "users": "the unseen users of a population, with their pairs",
    "benchmarks": "the published benchmarks with their files, or the oracle world's own task",
}
"""What a suite may need."""

DIRECT_NEEDS = ("generations", "references", "policy", "device")
"""Needs that a suite's function may take as arguments. A suite with other needs has a stage of its own
(``harness/stages/score_NAME.py``), which brings them together."""

REWARD_NEEDS = ("toxicity", "device")
"""What the function of a designer reward may take besides the texts."""

Rows = tuple[Sequence[ItemScore], Sequence[Measure]]
"""Item scores, one for each objective and item, and measures of the whole cell."""


@dataclass(frozen=True)
class DesignerReward:
    """An objective as a training reward: a pure function of texts.

    Parameters
    ----------
    function : callable
        ``function(texts, **needs)``: the objective's value of each text in its own unit, None where it cannot be
        measured. A function of a module, so that a stage's key can depend on that module alone.
    needs : tuple of str
        Of `REWARD_NEEDS`.
    """

    function: Callable[..., Sequence[float | None]]
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Suite:
    """Declaration of a suite.

    Parameters
    ----------
    name : str
        The name in the experiment's ``suites``.
    objectives : tuple of Objective
        Objectives of the suite's item scores, in the order of the records. ``NAME_second`` is the same by the second
        judge.
    needs : tuple of str
        Of `NEEDS`.
    measure : callable, optional
        From the needs, by name, to `Rows`; absent for a suite with a stage of its own.
    rewards : mapping of str to DesignerReward
        The objectives that can be designer rewards.
    module : str
        Name of the module that declares the suite.
    """

    name: str
    objectives: tuple[Objective, ...]
    needs: tuple[str, ...]
    measure: Callable[..., Rows] | None = None
    rewards: Mapping[str, DesignerReward] | None = None
    module: str = ""


_suites: dict[str, Suite] = {}


def register(declared: Suite) -> Suite:
    """Register a suite.

    Raises
    ------
    ValueError
        Naming the file of the declaration: for a name or an objective that another suite has, an unknown need, or a
        reward that is not one of the objectives or is unbounded.
    """
    return _register(declared, Path(inspect.stack()[1].filename), inspect.stack()[1].frame.f_globals["__name__"])


def suite(
    name: str,
    *,
    objectives: Sequence[Objective],
    needs: Sequence[str],
    rewards: Mapping[str, DesignerReward] | None = None,
) -> Callable[[Callable[..., Rows]], Callable[..., Rows]]:
    """Decorator that registers a function as a suite; its parameters are the needs.

    Examples
    --------
    >>> POLITE = Objective("polite", "Says please", "maximize", "share", (0.0, 1.0))
    >>> @suite("politeness", objectives=[POLITE], needs=["texts"])
    ... def politeness(texts):
    ...     return [], []
    Traceback (most recent call last):
    ValueError: <doctest suites.registry.suite[1]>: suite 'politeness': unknown need 'texts'; ...
    """

    def decorate(measure: Callable[..., Rows]) -> Callable[..., Rows]:
        declared = Suite(name, tuple(objectives), tuple(needs), measure, dict(rewards or {}))
        _register(declared, Path(inspect.getfile(measure)), measure.__module__)
        return measure

    return decorate


def _register(declared: Suite, file: Path, module: str) -> Suite:
    if faults := _faults(declared):
        raise ValueError(f"{file}: suite {declared.name!r}: {faults[0]}")
    declared = replace(declared, module=module)
    _suites[declared.name] = declared
    return declared


def _faults(declared: Suite) -> list[str]:
    """What is wrong with a declaration, in words."""
    faults = []
    if declared.name in _suites:
        faults.append(f"is registered already, by {_suites[declared.name].module}")
    for need in declared.needs:
        if need not in NEEDS:
            faults.append(f"unknown need {need!r}; known are {', '.join(NEEDS)}")
    taken = {objective.name: other for other in _suites.values() for objective in other.objectives}
    names = [objective.name for objective in declared.objectives]
    faults += [f"objective {name!r} belongs to the suite {taken[name].name!r}" for name in names if name in taken]
    faults += [f"objective {name!r} occurs twice" for name in set(names) if names.count(name) > 1]
    by_name = {objective.name: objective for objective in declared.objectives}
    for name, reward in (declared.rewards or {}).items():
        if name not in by_name:
            faults.append(f"the reward {name!r} is not one of its objectives")
        elif not all(map(math.isfinite, by_name[name].bounds)):
            faults.append(f"the objective {name!r} is unbounded, so it cannot be a reward")
        faults += [f"the reward {name!r} cannot need {need!r}" for need in reward.needs if need not in REWARD_NEEDS]
        if "<" in reward.function.__qualname__:
            faults.append(f"the reward {name!r} must be a function of a module")
    if declared.measure is not None:
        if indirect := [need for need in declared.needs if need not in DIRECT_NEEDS]:
            faults.append(f"{indirect[0]!r} needs a stage of its own; a function takes {', '.join(DIRECT_NEEDS)}")
        if list(inspect.signature(declared.measure).parameters) != list(declared.needs):
            faults.append(f"the parameters of its function are not its needs ({', '.join(declared.needs)})")
        if not declared.objectives:
            faults.append("it has no objective")
    return faults


def registered(name: str) -> Suite:
    """A suite whose module is imported."""
    return _suites[name]


def suites() -> dict[str, Suite]:
    """Every suite by name; modules ``suite.py`` in the folders of this package are imported."""
    _import_all()
    return dict(_suites)


@cache
def _import_all() -> None:
    import suites as package

    for root in package.__path__:
        for file in sorted(Path(root).glob("*/suite.py")):
            import_module(f"{package.__name__}.{file.parent.name}.suite")


def objectives() -> dict[str, Objective]:
    """Every objective of every suite by name."""
    return {objective.name: objective for declared in suites().values() for objective in declared.objectives}


def designer_rewards() -> dict[str, tuple[Objective, DesignerReward]]:
    """The objectives that can be designer rewards, by name."""
    by_name = objectives()
    return {
        name: (by_name[name], reward)
        for declared in suites().values()
        for name, reward in (declared.rewards or {}).items()
    }
