"""Interface and registry of the scorers of a user's own objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from inspect import signature
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, ClassVar, Protocol, Self, TypeVar


@dataclass(frozen=True)
class Scored:
    """The value of one response; None, with the reason, where it has none."""

    value: float | None
    reason: str = ""
    cost: float = 0.0
    """Dollars."""


@dataclass(frozen=True)
class Running:
    """How a scorer runs; changes no value.

    Parameters
    ----------
    device : str
    folder : path, optional
        Where answers that were paid for are kept.
    limits : mapping
        Price, pace and limits of an endpoint.
    """

    device: str = "cpu"
    folder: Path | None = None
    limits: Mapping[str, Any] = field(default_factory=dict)


class Scorer(Protocol):
    """A way to measure responses; a frozen data class whose fields are its settings."""

    code: ClassVar[tuple[str, ...]]
    """Modules beyond its own that determine its values."""

    @property
    def sources(self) -> Mapping[str, str]:
        """Files and models of the user's by field: their bytes are part of the key, their places are not."""

    def with_sources(self, sources: Mapping[str, str]) -> Self:
        """The same with the files and models at other places."""

    def score(self, prompts: Sequence[str], responses: Sequence[str], running: Running) -> list[Scored]:
        """One value for every response. It never raises for one response alone."""


T = TypeVar("T", bound=type[Scorer])
_kinds: dict[str, type[Scorer]] = {}


def scorer(name: str) -> Callable[[T], T]:
    """Decorator that registers a data class as a kind of scorer; the kind's name is a field of it.

    Examples
    --------
    >>> @scorer("luck")
    ... class Luck:
    ...     pass
    Traceback (most recent call last):
    ValueError: suites.custom.scorer: scorer 'luck': needs to be a data class with a field 'luck'
    """

    def decorate(cls: T) -> T:
        if name not in signature(cls).parameters:
            raise ValueError(f"{cls.__module__}: scorer {name!r}: needs to be a data class with a field {name!r}")
        if name in _kinds and _kinds[name].__module__ != cls.__module__:
            raise ValueError(f"{cls.__module__}: scorer {name!r} is registered already, by {_kinds[name].__module__}")
        _kinds[name] = cls
        return cls

    return decorate


@cache
def _load() -> None:
    import suites.custom as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def kinds() -> dict[str, type[Scorer]]:
    """Every kind by name; all modules of this package are imported."""
    _load()
    return dict(_kinds)


def setting_names(kind: str) -> list[str]:
    """Names of the settings of a kind."""
    return list(signature(_kinds[kind]).parameters)


def create(kind: str, settings: Mapping[str, Any]) -> Scorer:
    """A scorer of a kind whose module is imported.

    Raises
    ------
    TypeError, ValueError
        For a setting that is missing, unknown or out of range.
    """
    return _kinds[kind](**settings)
