"""Fingerprints of the code that a stage runs: the import closure of its module and the libraries that it uses.

The closure is read from the import statements, so no version has to be bumped by hand, and a change in one method's
file leaves the artifacts of other methods valid. Modules are hashed as syntax trees without docstrings: comments,
documentation and formatting never change a fingerprint.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from harness.plugins import plugin_file

ROOMS = ("harness", "trainers", "suites", "reports")
DISTRIBUTION = {"sklearn": "scikit-learn", "yaml": "pyyaml", "alpaca_eval": "alpaca-eval", "lm_eval": "lm-eval"}


@cache
def fingerprint(modules: tuple[str, ...]) -> str:
    """Hash of the code of our modules in the import closure of `modules`, and of the versions of their libraries.

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
        digest.update(f"{name}\0{_code(name)}\0".encode())
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


class _Plain(ast.NodeTransformer):
    """Removes what does not run: docstrings, other texts that stand alone, and imports for type checkers only."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | None:
        text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if text else node

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(child) for child in node.orelse]
        return self.generic_visit(node)


_WITH_BODY = (
    ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef, ast.If, ast.For, ast.While, ast.With, ast.Try, ast.ExceptHandler
)  # fmt: skip


@cache
def _tree(name: str) -> ast.Module:
    """A module's syntax tree without what does not run."""
    tree: ast.Module = _Plain().visit(ast.parse(_source(name).read_text(encoding="utf-8")))
    for node in ast.walk(tree):
        if isinstance(node, _WITH_BODY) and not node.body:
            node.body = [ast.Pass()]
    return ast.fix_missing_locations(tree)


@cache
def _code(name: str) -> str:
    """A module's code in one canonical format."""
    return ast.unparse(_tree(name))


@cache
def _imports(name: str) -> frozenset[str]:
    imported: set[str] = set()
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported.add(node.module)
            if node.module.partition(".")[0] in ROOMS:
                qualified = (f"{node.module}.{alias.name}" for alias in node.names)
                imported.update(candidate for candidate in qualified if _is_module(candidate))
    return frozenset(imported)


@cache
def _is_module(name: str) -> bool:
    parent = _source(name.rpartition(".")[0])
    leaf = name.rpartition(".")[2]
    return parent.name == "__init__.py" and (
        (parent.parent / f"{leaf}.py").is_file() or (parent.parent / leaf / "__init__.py").is_file()
    )


@cache
def _source(name: str) -> Path:
    """The file of one of our modules, found without importing it, or of a plugin."""
    if plugin := plugin_file(name):
        return plugin
    top, *rest = name.split(".")
    spec = find_spec(top)
    assert spec is not None and spec.submodule_search_locations
    base = Path(spec.submodule_search_locations[0]).joinpath(*rest)
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


@cache
def _version(library: str) -> str:
    try:
        return version(DISTRIBUTION.get(library, library))
    except PackageNotFoundError:
        return "absent"
