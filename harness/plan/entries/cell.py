"""Cells of an entry that is not trained: what it brings, as stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import singledispatch
from typing import Any

from harness.errors import UsageError
from harness.plan.shared_stages import SharedStages
from harness.plan.stage import Source, Stage, device_settings
from harness.spec.entries import Brought
from harness.spec.experiment import Experiment

UNSIZED = "models"
"""Size of entries that name none, in an experiment without sizes."""


@dataclass(frozen=True)
class EntryCell:
    """A model that is measured and was not trained here.

    Parameters
    ----------
    entry, size, seed
        How the report names it.
    settings : mapping
        What identifies it besides, for the report's table of cells.
    policy : Stage or None
        Its checkpoint, where there is one.
    generate : Stage or None
        The stage with its responses, where it has any.
    scores : mapping of str to Stage
        Stages with scores that it brings.
    """

    entry: str
    size: str
    seed: int
    settings: Mapping[str, Any]
    policy: Stage | None = None
    generate: Stage | None = None
    scores: Mapping[str, Stage] = field(default_factory=dict)


@singledispatch
def entry_cells(entry: Brought, name: str, experiment: Experiment, shared: SharedStages) -> list[EntryCell]:
    """The cells of an entry, by the class of its schema.

    Parameters
    ----------
    entry : Brought
    name : str
        The entry's key in the experiment.
    experiment : Experiment
    shared : SharedStages
        The stages of data, prompts and scorers.

    Raises
    ------
    UsageError
        In one line, naming the entry, the file and the row.
    """
    raise NotImplementedError(f"methods.{name}: no module of harness.plan.entries plans a {type(entry).__name__}")


def generate_stage(
    experiment: Experiment, label: str, policy: Stage, prompts: Stage, seed: int, condition: Stage | None = None
) -> Stage:
    """The stage that samples a policy's responses to the evaluation prompts."""
    decoding = {**experiment.decoding.model_dump(exclude={"backend"}), "seed": seed}
    inputs: dict[str, Source] = {"policy": policy, "data": prompts}
    if condition is not None:
        inputs["condition"] = condition
    generator = {"hf": "generate", "vllm": "generate_vllm"}[experiment.decoding.backend]
    settings = device_settings(experiment)
    return Stage(generator, f"generate {label}", {"decoding": decoding}, inputs, settings=settings)


def size_of(section: str, stated: str | None, experiment: Experiment) -> str:
    """The size that an entry is shown under: what is stated, or the experiment's only one."""
    if stated:
        return stated
    if len(experiment.sizes) > 1:
        sizes = ", ".join(experiment.sizes)
        raise UsageError(f"{section}.size: name the size that it is compared with, one of {sizes}, or another")
    return next(iter(experiment.sizes), UNSIZED)
