"""Registries of data classes by YAML name, their declarations, and the import of all files of a package."""

from __future__ import annotations

import difflib
import inspect
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, Generic, TypeVar

from trainers.checks import require_types

T = TypeVar("T")
C = TypeVar("C", bound=type)

FACTS = ("Formula", "Source", "From memory", "Cost")
"""Labels of the lines that the docstring of a method, a data step or an outer loop holds."""


class DeclarationError(TypeError):
    """A registered class that lacks part of what its registry requires."""


@dataclass(frozen=True)
class BrokenFile:
    """A file of a package that could not be imported.

    Parameters
    ----------
    module : str
        Name of the file without its suffix.
    reason : str
        The exception in one line.
    """

    module: str
    reason: str


class Registry(Generic[T]):
    """Data classes by name.

    Parameters
    ----------
    what : str
        What the entries are, for messages.
    attributes : sequence of str
        Attributes that every entry defines; a class that lacks one is refused when it is registered.
    facts : sequence of str
        Labels that every entry's docstring holds, see `fact`.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> shapes = Registry("shape", attributes=["side"])
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

    def __init__(self, what: str, attributes: Sequence[str] = (), facts: Sequence[str] = ()) -> None:
        self.what, self.attributes, self.facts = what, tuple(attributes), tuple(facts)
        self._entries: dict[str, type[T]] = {}
        self.broken: list[BrokenFile] = []

    def register(self, name: str) -> Callable[[C], C]:
        """Register a data class under a name that is not taken.

        Raises
        ------
        DeclarationError
            Naming the class's file and what the class lacks.
        """

        def decorate(cls: C) -> C:
            if name in self._entries:
                raise ValueError(f"{self.what} {name!r} is registered twice")
            if lacks := self._lacks(cls):
                raise DeclarationError(f"{_file(cls)}: {self.what} {name!r} ({cls.__name__}) lacks {', '.join(lacks)}")
            self._entries[name] = cls
            return cls

        return decorate

    def _lacks(self, cls: type) -> list[str]:
        lacks = [] if is_dataclass(cls) else ["the decorator @dataclass below the registration"]
        lacks += [f"the attribute {name!r}" for name in self.attributes if not hasattr(cls, name)]
        sweep = getattr(cls, "sweep", None)
        if isinstance(sweep, str) and sweep not in getattr(cls, "__dataclass_fields__", {}):
            lacks.append(f"the hyperparameter {sweep!r} that its 'sweep' names")
        return lacks + [f"the docstring line '{label}: ...'" for label in self.facts if _fact(cls, label) is None]

    def import_files(self, package: str, folders: Iterable[str]) -> None:
        """Import every file of a package, so that its entries register themselves.

        A file that cannot be imported is listed in `broken` with a warning, and the others stay usable.

        Parameters
        ----------
        package : str
        folders : iterable of str
            Folders of the package, as in its ``__path__``.
        """
        for module in iter_modules(folders):
            if module.name == "__main__":
                continue
            try:
                import_module(f"{package}.{module.name}")
            except Exception as fault:  # a broken file may fail in any way, and the other files do not depend on it
                reason = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
                self.broken.append(BrokenFile(module.name, reason))
                warnings.warn(f"{package}.{module.name} could not be imported: {reason}", stacklevel=2)

    def all(self) -> Mapping[str, type[T]]:
        """Every entry, sorted by name."""
        return dict(sorted(self._entries.items()))

    def create(self, name: str, **parameters: Any) -> T:
        """Build an entry; ValueError with the nearest known name for an unknown entry or parameter."""
        cls = self._entries.get(name)
        if cls is None:
            broken = "".join(f"; {file.module}.py could not be imported: {file.reason}" for file in self.broken)
            raise ValueError(f"unknown {self.what} {name!r}{nearest(name, self._entries)}{broken}")
        names = [field.name for field in fields(cls)]  # type: ignore[arg-type]  # `register` accepts data classes only
        for parameter in parameters:
            if parameter not in names:
                raise ValueError(f"{self.what} {name!r} has no hyperparameter {parameter!r}{nearest(parameter, names)}")
        require_types(cls, parameters)
        return cls(**parameters)


def fact(cls: type, label: str) -> str:
    """The text behind a label such as ``Formula:`` in a class's docstring, on one line.

    Raises
    ------
    ValueError
        If the docstring has no such line.

    Examples
    --------
    >>> class Bare:
    ...     '''A method.
    ...
    ...     Cost: 1, and
    ...         a value head.
    ...     '''
    >>> fact(Bare, "Cost")
    '1, and a value head.'
    """
    text = _fact(cls, label)
    if text is None:
        raise ValueError(f"the docstring of {cls.__name__} has no line '{label}: ...'")
    return text


def _fact(cls: type, label: str) -> str | None:
    match = re.search(rf"^{label}: (.*(?:\n    .*)*)", inspect.cleandoc(cls.__doc__ or ""), re.MULTILINE)
    return None if match is None else " ".join(match[1].split())


def _file(cls: type) -> str:
    try:
        return inspect.getsourcefile(cls) or cls.__module__
    except (OSError, TypeError):
        return cls.__module__


def nearest(word: str, choices: Iterable[str]) -> str:
    """End of a message: the nearest name, or all names if none is near."""
    names = sorted(choices)
    close = difflib.get_close_matches(word, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(names) or 'none'}"
