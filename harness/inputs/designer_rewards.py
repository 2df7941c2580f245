"""Designer objectives of texts that are not generations: dataset responses, samples, enumerated responses.

A stage's parameters hold each objective as its suite declares it (`harness.plan.designer`), so that the stage's key
depends on that objective and its function, and on nothing else that a suite measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, NotRequired, TypedDict

from harness.inputs.own_scorers import OwnScorer, own_values
from harness.records import Direction, Objective
from suites.custom.scorer import Running
from suites.items import within_bounds


class DeclaredReward(TypedDict):
    """A designer reward as JSON: the objective's scale, and the function that measures texts on it."""

    direction: Direction
    bounds: list[float]
    function: str
    """``MODULE:NAME``; called with the texts and, by name, what it needs."""
    needs: list[str]
    scorer: NotRequired[OwnScorer]
    """Of an experiment's own objective, in place of the function."""
    column: NotRequired[str]
    """Scores of the data set itself, under the name of its column, in place of the function."""
    clip: NotRequired[bool]


def objective_of(name: str, declared: DeclaredReward) -> Objective:
    """The objective with what a reward depends on: its name, direction and bounds."""
    low, high = declared["bounds"]
    return Objective(name, name, declared["direction"], "", (low, high))


def column_values(name: str, declared: DeclaredReward, scores: Sequence[Mapping[str, float]]) -> list[float | None]:
    """The objective of each response as its data set states it; None where a value lies outside the bounds.

    Raises
    ------
    ValueError
        With the columns that there are, for a response without this score.

    Examples
    --------
    >>> declared = DeclaredReward(
    ...     direction="maximize", bounds=[0.0, 4.0], function="", needs=[], column="correctness"
    ... )
    >>> column_values("correct", declared, [{"correctness": 3.0}, {"correctness": 9.0}])
    [3.0, None]
    """
    column = declared["column"]
    for row in scores:
        if column not in row:
            has = ", ".join(sorted(row)) or "none"
            raise ValueError(f"objectives.{name}: a response of the data has no score {column!r}; it has {has}")
    clip = declared.get("clip", False)
    return [within_bounds(row[column], declared["bounds"], clip)[0] for row in scores]


@dataclass(frozen=True)
class Scorers:
    """What the functions of rewards need besides texts.

    Parameters
    ----------
    toxicity : path, str or None
        The toxicity scorer's checkpoint or name.
    inputs : mapping of str to path
        Inputs of the stage, which hold the files and models of own scorers.
    device : str
        Where a scorer runs.
    limits : mapping
        Limits of an endpoint by objective.
    """

    toxicity: Path | str | None = None
    inputs: Mapping[str, Path] = field(default_factory=dict)
    device: str = "cpu"
    limits: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @classmethod
    def of_stage(cls, parameters: Mapping[str, Any], inputs: Mapping[str, Path], device: str) -> Scorers:
        """The scorers that a stage has as inputs or by name."""
        toxicity = inputs.get("toxicity") or parameters.get("toxicity_model")
        return cls(toxicity, inputs, device, parameters.get("scorer_limits", {}))


def designer_values(
    name: str, declared: DeclaredReward, prompts: Sequence[str], texts: Sequence[str], scorers: Scorers
) -> list[float | None]:
    """The objective of each text in its own unit; None where it cannot be measured. Equal texts are measured once.

    Parameters
    ----------
    name : str
        Of the objective.
    declared : DeclaredReward
    prompts, texts : sequence of str
        Responses and what they answer.
    scorers : Scorers

    Examples
    --------
    >>> declared = DeclaredReward(
    ...     direction="maximize", bounds=[0.0, 1.0], function="suites.style.readability:readabilities", needs=[]
    ... )
    >>> texts = ["The cat sat on the mat."] * 2
    >>> [round(value, 2) for value in designer_values("readability", declared, ["", ""], texts, Scorers())]
    [1.0, 1.0]
    """
    if "scorer" in declared:
        running = Running(scorers.device, scorers.inputs.get("answers"), scorers.limits.get(name, {}))
        scored = own_values(declared["scorer"], declared["bounds"], prompts, texts, scorers.inputs, running)
        return [value.value for value in scored]
    module, _, function = declared["function"].partition(":")
    available = {"toxicity": scorers.toxicity, "device": scorers.device}
    distinct = list(dict.fromkeys(texts))
    needs = {need: available[need] for need in declared["needs"]}
    measured = getattr(import_module(module), function)(distinct, **needs)
    values = dict(zip(distinct, measured, strict=True))
    return [values[text] for text in texts]
