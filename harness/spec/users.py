"""Schema of the measurement of policies for users, and of entries that decode or steer a policy."""

from __future__ import annotations

import reprlib
from typing import Annotated, Any

from pydantic import Field, field_validator

from harness.spec.strict import Count, Label, Positive, Strict

Size = Annotated[int, Field(ge=0, le=1000)]


class Users(Strict):
    """How policies are measured for the unseen users of a population (suite `steer`)."""

    contexts: Annotated[list[Size], Field(min_length=1, max_length=20)] = [0, 2, 4, 8, 16]
    """Numbers of pairs by which a method knows a user."""
    beta: Positive = 0.5
    """Of the regularised regret, E r − β KL."""
    prompts: Count = 24
    """Test prompts, the first ones."""

    @field_validator("contexts")
    @classmethod
    def _distinct(cls, contexts: list[int]) -> list[int]:
        if len(set(contexts)) != len(contexts):
            raise ValueError(f"needs distinct sizes, not {reprlib.repr(contexts)}")
        return contexts


class Kind(Strict):
    """A registered kind by name; its other keys are its settings."""

    model_config = {**Strict.model_config, "extra": "allow"}

    kind: Label

    @property
    def settings(self) -> dict[str, Any]:
        """The settings without the name."""
        return dict(self.model_extra or {})


DECODES = {"decoding", "steer"}
"""Keys by which an entry is recognised that decodes or steers the policies of others."""


class Decoded(Strict):
    """An entry that decodes the policies of others for each user, from a context of the user's pairs."""

    decoding: Kind = Kind(kind="plain")
    """One of `suites.decoding.kinds`."""
    steer: Kind | None = None
    """One of `harness.inputs.steering.kinds`."""
    policies: dict[Label, Label] = {}
    """Entries, `base` or sizes by role; `base` is the base if not given."""
