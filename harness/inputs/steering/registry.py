"""Registry of steer kinds: from the pairs of unseen users to what a method knows of each."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeVar

from harness.inputs.steering.scene import Contexts, Scene
from suites.decoding.registry import Guess

GIVES = ("weights", "reward", "frame", "policies", "loser")
"""Parts of a `Guess` that a kind may give."""


class Steer(Protocol):
    """A steer kind: a frozen data class whose fields are its settings."""

    gives: ClassVar[tuple[str, ...]]
    """Of `GIVES`; a decoding kind needs some of them."""
    trained: ClassVar[str | None]
    """The stage (module of ``harness.stages``) that trains it once for all users, from the base and the seen users' pairs;
    its artifact is `Scene.trained`. None for a kind without training."""

    def guesses(self, scene: Scene, contexts: Contexts) -> dict[str, Guess]:
        """What the method knows of each user from the user's pairs alone; users in the order of `contexts`."""
        ...


_kinds: dict[str, type[Steer]] = {}
T = TypeVar("T", bound=type[Any])


def register(name: str) -> Callable[[T], T]:
    """Decorator that registers a data class as a steer kind.

    Raises
    ------
    ValueError
        Naming the file: for a name that is taken, or a class that lacks a declaration or `guesses`.
    """

    def decorate(cls: T) -> T:
        file = Path(inspect.getfile(cls))
        if name in _kinds:
            raise ValueError(f"{file}: steer kind {name!r} is registered already, by {_kinds[name].__module__}")
        if lacking := [fact for fact in ("gives", "trained", "guesses") if not hasattr(cls, fact)]:
            raise ValueError(f"{file}: steer kind {name!r} declares no {lacking[0]!r}")
        if unknown := [part for part in cls.gives if part not in GIVES]:
            raise ValueError(f"{file}: steer kind {name!r} gives {unknown[0]!r}; known are {', '.join(GIVES)}")
        _kinds[name] = cls
        return cls

    return decorate


def steer_kinds() -> dict[str, type[Steer]]:
    """Every steer kind by name; the modules of ``harness/inputs/steering/kinds`` are imported."""
    _import_all()
    return dict(_kinds)


@cache
def _import_all() -> None:
    import harness.inputs.steering.kinds as package

    for root in package.__path__:
        for file in sorted(Path(root).glob("*.py")):
            if file.stem != "__init__":
                import_module(f"{package.__name__}.{file.stem}")
