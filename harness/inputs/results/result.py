"""One sample of a model: its response to a prompt, scores of it, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from harness.records import Direction, Status


@dataclass(frozen=True)
class Scale:
    """Direction and bounds of scores, as the file itself states them."""

    direction: Direction
    low: float
    high: float


@dataclass(frozen=True)
class Result:
    """A row of a file of results.

    Parameters
    ----------
    where : str
        The file and its row.
    prompt : str or None
        Text of the prompt; None where the file names its items by `id` alone.
    id : str or None
        The file's own name of the prompt or item.
    response : str or None
        None in a file of scores alone.
    reference : str or None
        The response that this one is compared with.
    generator, size : str
        Name and size of the model; empty where the file does not name them.
    seed : int or None
    trial : int or None
        Number of the sample among those of its prompt; None where it is the order in the file.
    status : Status
        ``ok`` also for an empty response, which is recognised later.
    scores : mapping of str to float or None
        By objective or column; None for a score that is missing.
    scales : mapping of str to Scale
        Of those scores whose meaning the file's form fixes.
    detail : mapping of str to str
        How it was scored (`reports.grids.SETTINGS`), and why a score is missing.
    """

    where: str
    prompt: str | None = None
    id: str | None = None
    response: str | None = None
    reference: str | None = None
    generator: str = ""
    size: str = ""
    seed: int | None = None
    trial: int | None = None
    status: Status = Status.OK
    scores: Mapping[str, float | None] = field(default_factory=dict)
    detail: Mapping[str, str] = field(default_factory=dict)
    scales: Mapping[str, Scale] = field(default_factory=dict)
