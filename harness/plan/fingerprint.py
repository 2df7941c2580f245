"""Which code a stage runs: the import closure of its module, and the libraries that closure uses.

Reading the imports keeps the list honest: nobody has to remember to bump a version, and a change in one
method's file leaves the other methods' artifacts valid.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOMS = ("harness", "trainers", "suites", "reports")
DISTRIBUTION = {"sklearn": "scikit-learn", "yaml": "pyyaml", "alpaca_eval": "alpaca-eval", "lm_eval": "lm-eval"}


@cache
def fingerprint(modules: tuple[str, ...]) -> str:
    """Hash of the source files that `modules` import, ours only, and of the versions of the libraries.

    Examples
    --------
    >>> fingerprint(("harness.store.store",)) == fingerprint(("harness.store.store",))
    True
    >>> fingerprint(("harness.store.store",)) == fingerprint(("harness.records",))
    False
    """
    files, libraries = closure(modules)
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(name.encode() + b"\0" + _source(name).read_bytes())
    for name in sorted(libraries):
        digest.update(f"{name}=={_version(name)}".encode())
    return digest.hexdigest()


def closure(modules: tuple[str, ...]) -> tuple[set[str], set[str]]:
    """Our modules reachable by import from `modules`, and the third-party top-level names they import."""
    ours: set[str] = set()
    libraries: set[str] = set()
    pending = list(modules)
    while pending:
        name = pending.pop()
        if name in ours:
            continue
        ours.add(name)
        for imported in _imports(name):
            top = imported.partition(".")[0]
            if top in ROOMS:
                pending.append(imported)
            elif top not in sys.stdlib_module_names:
                libraries.add(top)
    return ours, libraries


@cache
def _imports(name: str) -> frozenset[str]:
    found = set()
    for node in ast.walk(ast.parse(_source(name).read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            if node.module.partition(".")[0] in ROOMS:
                qualified = (f"{node.module}.{alias.name}" for alias in node.names)
                found.update(candidate for candidate in qualified if _is_module(candidate))
    return frozenset(found)


@cache
def _is_module(name: str) -> bool:
    parent = _source(name.rpartition(".")[0])
    leaf = name.rpartition(".")[2]
    return parent.name == "__init__.py" and (
        (parent.parent / f"{leaf}.py").is_file() or (parent.parent / leaf / "__init__.py").is_file()
    )


@cache
def _source(name: str) -> Path:
    """The file of one of our modules, found without importing it."""
    top, *rest = name.split(".")
    base = Path(next(iter(find_spec(top).submodule_search_locations))).joinpath(*rest)
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _version(library: str) -> str:
    try:
        return version(DISTRIBUTION.get(library, library))
    except PackageNotFoundError:
        return "absent"
