"""Registry of decoding kinds, and what they are given about a user."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar, runtime_checkable

import numpy as np

from suites.decoding.mix import Mix
from trainers.tokens.framing import Frame

NEEDS: Mapping[str, str] = {
    "weights": "weights of the policies by role",
    "reward": "a reward of every response, in nats",
    "frame": "text around the prompt",
    "loser": "a policy of the responses that a user rejects",
}
"""What a kind may need to know of a user."""


@dataclass(frozen=True)
class Guess:
    """What a method knows of a user.

    Parameters
    ----------
    weights : mapping of str to float, optional
        By taste, or by the role of a policy.
    reward : ndarray, shape (P, Y), optional
        Of every response, nats.
    frame : Frame
        Around each prompt.
    policies : mapping of str to StepPolicy
        By role: policies of this user, in place of those that all users share.
    """

    weights: Mapping[str, float] | None = None
    reward: np.ndarray | None = None
    frame: Frame = Frame()
    policies: Mapping[str, Any] = field(default_factory=dict)


class Kind(Protocol):
    """Declaration of a decoding kind; its fields are its settings."""

    needs: ClassVar[tuple[str, ...]]
    """Of `NEEDS`."""
    roles: ClassVar[tuple[str, ...] | None]
    """Roles of its policies; None for any number of policies."""
    contexts: ClassVar[int]
    """How many contexts or models it reads at every step, at least; vLLM reads one."""


@runtime_checkable
class TokenLevel(Kind, Protocol):
    """A kind that changes the distribution of the next token."""

    def mix(self, guess: Guess) -> Mix:
        """The mixture to sample from."""
        ...


@runtime_checkable
class Selection(Kind, Protocol):
    """A kind that chooses among sampled responses."""

    n: int

    def law(self, policy: np.ndarray, reward: np.ndarray) -> np.ndarray:
        """Distribution of the chosen response, exactly; policy and reward of shape (P, Y)."""
        ...

    def pick(self, rewards: np.ndarray, u: float) -> int:
        """Position of the chosen one of n samples with these rewards; u is uniform in [0, 1)."""
        ...


_kinds: dict[str, type[Any]] = {}
T = TypeVar("T", bound=type[Any])


def register(name: str) -> Callable[[T], T]:
    """Decorator that registers a data class as a decoding kind.

    Raises
    ------
    ValueError
        Naming the file: for a name that is taken, or a class that declares no needs or roles or neither mixes nor selects.
    """

    def decorate(cls: T) -> T:
        file = Path(inspect.getfile(cls))
        if name in _kinds:
            raise ValueError(f"{file}: decoding kind {name!r} is registered already, by {_kinds[name].__module__}")
        if lacking := [fact for fact in ("needs", "roles", "contexts") if not hasattr(cls, fact)]:
            raise ValueError(f"{file}: decoding kind {name!r} declares no {lacking[0]!r}")
        if unknown := [need for need in cls.needs if need not in NEEDS]:
            raise ValueError(
                f"{file}: decoding kind {name!r}: unknown need {unknown[0]!r}; known are {', '.join(NEEDS)}"
            )
        if not (hasattr(cls, "mix") or (hasattr(cls, "law") and hasattr(cls, "pick"))):
            raise ValueError(f"{file}: decoding kind {name!r} has neither 'mix' nor 'law' and 'pick'")
        _kinds[name] = cls
        return cls

    return decorate


def kinds() -> dict[str, type[Any]]:
    """Every decoding kind by name; the modules of ``suites/decoding/kinds`` are imported."""
    _import_all()
    return dict(_kinds)


@cache
def _import_all() -> None:
    import suites.decoding.kinds as package

    for root in package.__path__:
        for file in sorted(Path(root).glob("*.py")):
            if file.stem != "__init__":
                import_module(f"{package.__name__}.{file.stem}")
