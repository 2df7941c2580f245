"""Designer objectives of texts that are not generations: dataset responses, samples, enumerated responses.

A stage's parameters hold each objective as its suite declares it (`harness.plan.designer`), so that the stage's key
depends on that objective and its function, and on nothing else that a suite measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TypedDict

from harness.records import Direction, Objective


class DeclaredReward(TypedDict):
    """A designer reward as JSON: the objective's scale, and the function that measures texts on it."""

    direction: Direction
    bounds: list[float]
    function: str
    """``MODULE:NAME``; called with the texts and, by name, what it needs."""
    needs: list[str]


def objective_of(name: str, declared: DeclaredReward) -> Objective:
    """The objective with what a reward depends on: its name, direction and bounds."""
    low, high = declared["bounds"]
    return Objective(name, name, declared["direction"], "", (low, high))


def designer_values(
    declared: DeclaredReward, texts: Sequence[str], toxicity: Path | str | None, device: str = "cpu"
) -> list[float | None]:
    """The objective of each text in its own unit; None where it cannot be measured. Equal texts are measured once.

    Parameters
    ----------
    declared : DeclaredReward
    texts : sequence of str
    toxicity : path, str or None
        The toxicity scorer's checkpoint or name, for a function that needs it.
    device : str
        Where a scorer runs.

    Examples
    --------
    >>> declared = DeclaredReward(
    ...     direction="maximize", bounds=[0.0, 1.0], function="suites.style.readability:readabilities", needs=[]
    ... )
    >>> [round(value, 2) for value in designer_values(declared, ["The cat sat on the mat."] * 2, None)]
    [1.0, 1.0]
    """
    module, _, name = declared["function"].partition(":")
    available = {"toxicity": toxicity, "device": device}
    distinct = list(dict.fromkeys(texts))
    measured = getattr(import_module(module), name)(distinct, **{need: available[need] for need in declared["needs"]})
    values = dict(zip(distinct, measured, strict=True))
    return [values[text] for text in texts]
