"""Registry of judges and of their parameters.

A judge is a file of this package, or a file of the user's, that decorates a function with `judge`. Declarations are
checked at import; an error names the file.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any

from suites.judges.protocol import Judge

if TYPE_CHECKING:
    import numpy as np

    from suites.oracle.world import World
    from trainers.tokens.dialogue import Text

NEEDS: Mapping[str, str] = {
    "world": "the oracle world, from the data",
    "model": "a 'model' that the experiment must name",
    "weights": "the model's weights, a local folder or a name on the hub",
    "training": "a reward model trained here, where the experiment names no 'model'",
    "prompt": "a 'prompt' template",
    "backend": "a 'backend' that runs the model",
    "endpoint": "an 'endpoint', and the answers that it gave before",
}
"""What a judge may be made from; the experiment's ``judge`` may have those keys only that its kind needs."""

Reward = Callable[[Sequence["Text"], Sequence[str]], "np.ndarray"]
"""From prompts (texts, or messages) and the texts of responses to a number for each, in nats.

Differences are Bradley-Terry log-odds.
"""


@dataclass(frozen=True)
class JudgeSetup:
    """What a judge is made from.

    Parameters
    ----------
    model : path, str or None
        The user's checkpoint folder, or a name.
    trained : path, optional
        Checkpoint of the reward model that was trained here.
    world : World, optional
    prompt, backend : str, optional
    endpoint, limits : mapping
        Where an endpoint is, and how it may be used.
    folder : path, optional
        Where the answers of an endpoint are kept.
    device : str
    """

    model: Path | str | None = None
    trained: Path | None = None
    world: World | None = None
    prompt: str | None = None
    backend: str | None = None
    endpoint: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class JudgeKind:
    """Declaration of a kind of judge.

    Parameters
    ----------
    name : str
        The experiment's ``judge.kind``.
    load : callable
        From a `JudgeSetup` to a `Judge`.
    needs : tuple of str
        Of `NEEDS`.
    reward : callable, optional
        From a `JudgeSetup` to a `Reward`, for a judge that also gives every response a number.
    module : str
        Name of the module that declares the kind.
    """

    name: str
    load: Callable[[JudgeSetup], Judge]
    needs: tuple[str, ...] = ()
    reward: Callable[[JudgeSetup], Reward] | None = None
    module: str = ""


_kinds: dict[str, JudgeKind] = {}


def judge(
    name: str, *, needs: Sequence[str] = (), reward: Callable[[JudgeSetup], Reward] | None = None
) -> Callable[[Callable[[JudgeSetup], Judge]], Callable[[JudgeSetup], Judge]]:
    """Decorator that registers a function from a `JudgeSetup` to a judge.

    Raises
    ------
    ValueError
        Naming the file of the function: for a name that is taken, an unknown need, or a function that does not take
        one argument.

    Examples
    --------
    >>> @judge("coin", needs=["luck"])
    ... def coin(setup):
    ...     return None
    Traceback (most recent call last):
    ValueError: <doctest suites.judges.registry.judge[0]>: judge 'coin': unknown need 'luck'; ...
    """

    def decorate(load: Callable[[JudgeSetup], Judge]) -> Callable[[JudgeSetup], Judge]:
        where = f"{inspect.getfile(load)}: judge {name!r}"
        if name in _kinds:
            raise ValueError(f"{where} is registered already, by {_kinds[name].module}")
        if unknown := [need for need in needs if need not in NEEDS]:
            raise ValueError(f"{where}: unknown need {unknown[0]!r}; known are {', '.join(NEEDS)}")
        if len(inspect.signature(load).parameters) != 1:
            raise ValueError(f"{where}: its function must take one argument, a JudgeSetup")
        _kinds[name] = JudgeKind(name, load, tuple(needs), reward, load.__module__)
        return load

    return decorate


def registered(name: str) -> JudgeKind:
    """A kind whose module is imported."""
    return _kinds[name]


def judges() -> dict[str, JudgeKind]:
    """Every kind of judge by name; all modules of this package are imported."""
    _import_all()
    return dict(_kinds)


@cache
def _import_all() -> None:
    import suites.judges as package

    for module in iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")
