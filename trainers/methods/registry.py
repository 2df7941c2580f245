"""The registry of methods: a decorator puts a class under its YAML name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import ClassVar, Protocol, TypeVar

from trainers.scores import Loss, Needs, Scores


class Method(Protocol):
    """A preference-optimization method: hyperparameters as fields, and a loss."""

    needs: ClassVar[Needs]
    sweep: ClassVar[str]
    """The hyperparameter that traces the method's trade-off."""

    def loss(self, scores: Scores) -> Loss: ...


_METHODS: dict[str, type[Method]] = {}
M = TypeVar("M", bound=type)


def register(name: str) -> Callable[[M], M]:
    """Register a method class under its YAML name."""

    def decorate(cls: M) -> M:
        if name in _METHODS:
            raise ValueError(f"method {name!r} is registered twice")
        _METHODS[name] = cls
        return cls

    return decorate


def methods() -> Mapping[str, type[Method]]:
    """All registered method classes by name."""
    return dict(sorted(_METHODS.items()))


def create(name: str, **parameters) -> Method:
    """Build a method from its YAML name and hyperparameters.

    Raises
    ------
    ValueError
        For an unknown method or hyperparameter; the message names the nearest known one.
    """
    cls = _METHODS.get(name)
    if cls is None:
        raise ValueError(f"unknown method {name!r}{_nearest(name, _METHODS)}")
    known = [field.name for field in fields(cls)]
    for parameter in parameters:
        if parameter not in known:
            raise ValueError(f"method {name!r} has no hyperparameter {parameter!r}{_nearest(parameter, known)}")
    return cls(**parameters)


def _nearest(word: str, known) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}"
