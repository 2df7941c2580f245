"""Executors: where the stages of a run are executed. Each file of this package registers one."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, Protocol

from harness.errors import UsageError, nearest
from harness.run.job import Job

OnStep = Callable[[str, Any], None]
"""Receives a stage's key and how far it is."""


class Executor(Protocol):
    """Executes jobs (`harness.run.job.execute`)."""

    def submit(self, job: Job) -> Future[float]:
        """Start a job; the future holds its seconds."""
        ...

    def poll(self) -> None:
        """Pass on what workers reported since the last call."""
        ...


@dataclass(frozen=True)
class ExecutorSetup:
    """What an executor is made from.

    Parameters
    ----------
    workers : int
        Jobs at a time on this machine.
    logs : Path
        Folder for the output of workers.
    on_step : callable, optional
        Receives the progress of running stages.
    address : str, optional
        Of a cluster.
    """

    workers: int
    logs: Path
    on_step: OnStep | None = None
    address: str | None = None


Open = Callable[[ExecutorSetup], AbstractContextManager[Executor]]
"""A context manager that holds an executor."""

_executors: dict[str, Open] = {}


def register(name: str) -> Callable[[Open], Open]:
    """Decorator that registers a context manager from an `ExecutorSetup` to an `Executor`.

    Raises
    ------
    ValueError
        Naming the file of the function: for a name that is taken, or a function that does not take one argument.

    Examples
    --------
    >>> @register("nowhere")
    ... def nowhere():
    ...     yield
    Traceback (most recent call last):
    ValueError: <doctest harness.run.executors.register[0]>: executor 'nowhere': its function must take one ...
    """

    def decorate(make: Open) -> Open:
        where = f"{inspect.getfile(inspect.unwrap(make))}: executor {name!r}"
        if name in _executors:
            raise ValueError(f"{where} is registered already, by {_executors[name].__module__}")
        if len(inspect.signature(make).parameters) != 1:
            raise ValueError(f"{where}: its function must take one argument, an ExecutorSetup")
        _executors[name] = make
        return make

    return decorate


def executors() -> dict[str, Open]:
    """Every executor by name; all modules of this package are imported."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return dict(_executors)


def find_executor(name: str) -> Open:
    """The executor of a name.

    Raises
    ------
    UsageError
        With the nearest name, for one that is not registered.

    Examples
    --------
    >>> find_executor("lokal")
    Traceback (most recent call last):
    harness.errors.UsageError: --executor: unknown executor 'lokal'; did you mean 'local'?
    """
    registered = executors()
    if name not in registered:
        raise UsageError(f"--executor: unknown executor {name!r}{nearest(name, registered)}")
    return registered[name]
