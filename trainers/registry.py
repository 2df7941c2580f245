"""A registry: a decorator puts a dataclass under its YAML name, and parameters are checked by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Registry(Generic[T]):
    """Dataclasses by name.

    Parameters
    ----------
    what : str
        What the entries are, for messages.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> shapes = Registry("shape")
    >>> @shapes.register("square")
    ... @dataclass(frozen=True)
    ... class Square:
    ...     side: float = 1.0
    >>> shapes.create("square", side=2.0)
    Square(side=2.0)
    >>> shapes.create("squares")
    Traceback (most recent call last):
    ValueError: unknown shape 'squares'; did you mean 'square'?
    """

    def __init__(self, what: str) -> None:
        self.what = what
        self._entries: dict[str, type[T]] = {}

    def register(self, name: str) -> Callable[[type[T]], type[T]]:
        """Register a dataclass under a name that is not taken."""

        def decorate(cls: type[T]) -> type[T]:
            if name in self._entries:
                raise ValueError(f"{self.what} {name!r} is registered twice")
            self._entries[name] = cls
            return cls

        return decorate

    def all(self) -> Mapping[str, type[T]]:
        """Every entry, sorted by name."""
        return dict(sorted(self._entries.items()))

    def create(self, name: str, **parameters: Any) -> T:
        """Build an entry; ValueError with the nearest known name for an unknown entry or parameter."""
        cls = self._entries.get(name)
        if cls is None:
            raise ValueError(f"unknown {self.what} {name!r}{_nearest(name, self._entries)}")
        known = [field.name for field in fields(cls)]
        for parameter in parameters:
            if parameter not in known:
                raise ValueError(
                    f"{self.what} {name!r} has no hyperparameter {parameter!r}{_nearest(parameter, known)}"
                )
        return cls(**parameters)


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known)) or 'none'}"
