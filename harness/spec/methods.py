"""Schema of the methods that an experiment compares: sweeps, data steps, rounds and soups."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Annotated, Any

from pydantic import Field, field_validator, model_validator

from harness.spec.strict import Label, Seed, Strict, Weight

EACH = "each"
"""The `person` of an entry that trains one policy for each unseen user."""

SOUP = "soup"
"""The method of an entry that mixes the policies of others."""


def add_up_to_one(rewards: dict[str, float]) -> dict[str, float]:
    """The weights of designer objectives; `ValueError` if they do not add up to 1."""
    if rewards and abs(sum(rewards.values()) - 1) > 1e-6:
        raise ValueError(f"the weights add up to {sum(rewards.values()):g}, not 1")
    return rewards


class DataSpec(Strict):
    """A data step (`trainers.data_steps`) that makes the training data of a method."""

    step: str
    parameters: dict[str, Any] = {}


class SoupSpec(Strict):
    """A policy mixed from those of other entries (`trainers.edit.rounds.Soup`)."""

    policies: Annotated[list[Label], Field(min_length=2, max_length=100)]
    share: Weight | None = None


Choice = bool | int | float | str
"""A value of a swept setting."""
MOST_TRIALS = 1000


def in_words(values: Mapping[str, Choice]) -> str:
    """Swept settings in a label.

    Examples
    --------
    >>> in_words({"beta": 0.10, "loss": "hinge", "epochs": 2, "sync": True})
    'beta=0.1 loss=hinge epochs=2 sync=true'
    """
    return " ".join(f"{name}={_in_words(value)}" for name, value in values.items())


def _in_words(value: Choice) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return value if isinstance(value, str) else f"{value:g}"


class MethodEntry(Strict):
    """One method with its sweep: settings (of the method, of training, of data or of rounds) and their values.

    Several settings are tried in every combination, the last one changing first.
    """

    method: str
    parameters: dict[str, Any] = {}
    training: dict[str, Any] = {}
    data: DataSpec | None = None
    rounds: dict[str, Any] | None = None
    """Settings of `trainers.edit.rounds.Rounds`: train again and again, each time from the policy before."""
    soup: SoupSpec | None = None
    references: list[Label] = []
    """Reference policies of a method that needs several, or one that is not the base: `base`, entries, or sizes (their
    bases)."""
    sweep: dict[str, Annotated[list[Choice], Field(max_length=MOST_TRIALS)]] = {}
    person: Label | None = None
    """A user of the population, or a taste, from whose pairs alone the policy learns, instead of those of the seen users;
    `each` trains a policy for each unseen user."""
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=1000)] | None = None
    """Those of the experiment's seeds that the entry is run with; all if not given."""
    rewards: dict[str, Weight] = {}
    """Weights of the designer objectives for this entry, instead of the experiment's; they add up to 1."""

    @field_validator("rewards")
    @classmethod
    def _whole(cls, rewards: dict[str, float]) -> dict[str, float]:
        return add_up_to_one(rewards)

    @field_validator("sweep")
    @classmethod
    def _distinct(cls, sweep: dict[str, list[Choice]]) -> dict[str, list[Choice]]:
        for name, values in sweep.items():
            if not values or len(set(values)) != len(values):
                raise ValueError(f"the sweep of {name!r} needs distinct values, not {reprlib.repr(values)}")
        if (count := prod(map(len, sweep.values()))) > MOST_TRIALS:
            raise ValueError(f"{count:,} combinations are too many; at most {MOST_TRIALS:,} are tried")
        return sweep

    @model_validator(mode="after")
    def _soup_alone(self) -> MethodEntry:
        trained = [
            name for name in ("parameters", "training", "data", "rounds", "references", "person") if getattr(self, name)
        ]
        if self.soup and (trained or self.method != SOUP):
            what = ", ".join(trained) or f"method {self.method}"
            raise ValueError(f"a soup trains nothing: {what} belongs to the entries of its policies")
        return self

    @model_validator(mode="after")
    def _person_alone(self) -> MethodEntry:
        if self.person and (other := "data" if self.data else "rounds" if self.rounds else ""):
            raise ValueError(f"person: the pairs of one user are the data; leave out {other!r}")
        return self

    @property
    def trials(self) -> list[dict[str, Choice]]:
        """The settings this entry tries, one dictionary each; one that is empty without a sweep."""
        return [dict(zip(self.sweep, values, strict=True)) for values in product(*self.sweep.values())]
