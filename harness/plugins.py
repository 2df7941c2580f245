"""Plugins: Python files of the user's that register suites, judges, methods, data steps, executors or trackers.

An experiment names them under ``plugins``. A plugin is one file: stages that use what it registers have its code in
their keys, and the workers that run them import it first.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from harness.errors import UsageError

_PREFIX = "prefrontier_plugin_"


def load_plugins(files: Iterable[str | Path]) -> None:
    """Import files that are not imported yet.

    Raises
    ------
    UsageError
        In one line: for a file that is not there, that cannot be imported, or whose name another plugin has.
    """
    for file in map(Path, files):
        if file.suffix != ".py" or not file.is_file():
            raise UsageError(f"plugins: {file}: no such Python file")
        _load(file.resolve())


def plugin_file(module: str) -> Path | None:
    """The file of a plugin's module; None for a module that is no plugin."""
    if not module.startswith(_PREFIX):
        return None
    file = sys.modules[module].__file__
    return None if file is None else Path(file)


def _load(file: Path) -> None:
    name = f"{_PREFIX}{file.stem}"
    if name in sys.modules:
        if plugin_file(name) != file:
            raise UsageError(f"plugins: {file}: {plugin_file(name)} has the same name; rename one of them")
        return
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"plugins: {file}: not a Python file")
    module = sys.modules[name] = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file raises
        del sys.modules[name]
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UsageError(f"plugins: {file}: {type(error).__name__}: {first}") from error
