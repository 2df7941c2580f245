"""The files that are mutated, and the tests that run a mutated line."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutation.mutants import Mutant

DEFAULT = (
    "reports/statistics", "reports/frontiers", "reports/nightly", "reports/analysis.py", "reports/grids.py",
    "trainers/methods",
)  # fmt: skip
LEFT_OUT = {"__init__.py", "__main__.py"}
TESTS = {"trainers/methods": ("tests/trainers/methods", "tests/trainers/objective")}
"""Folders of tests where they are not `tests/PACKAGE`."""


def sources(root: Path, paths: Iterable[str] = DEFAULT) -> list[str]:
    """Python files below some paths, relative to the root."""
    files: list[Path] = []
    for path in paths:
        here = root / path
        if not here.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        files += [here] if here.is_file() else sorted(here.rglob("*.py"))
    return sorted({str(file.relative_to(root)) for file in files if file.name not in LEFT_OUT})


def rooms(paths: Iterable[str]) -> dict[tuple[str, ...], list[str]]:
    """Source files by the folders of tests that they are run against."""
    grouped: dict[tuple[str, ...], list[str]] = {}
    for path in paths:
        special = (tests for folder, tests in TESTS.items() if Path(path).is_relative_to(folder))
        grouped.setdefault(next(special, (f"tests/{Path(path).parts[0]}",)), []).append(path)
    return grouped


def units(root: Path, folders: Iterable[str], paths: Iterable[str]) -> list[str]:
    """What one run of pytest records: the doctests in a folder of source files, or one file of tests."""
    files = {str(file.relative_to(root)) for folder in folders for file in (root / folder).rglob("test_*.py")}
    return [*sorted({str(Path(path).parent) for path in paths}), *sorted(files)]


@dataclass(frozen=True)
class Coverage:
    """Which tests run which lines.

    Attributes
    ----------
    seconds : dict
        Processor time of each test.
    lines : dict
        For each source file and line, the tests that run it, directly or in a shared fixture.
    """

    seconds: dict[str, float] = field(default_factory=dict)
    lines: dict[str, dict[int, set[str]]] = field(default_factory=dict)

    def add(self, recorded: dict) -> None:
        """Merge the record of one unit, as `tests.mutation.plugins.Recorder` writes it."""
        self.seconds.update(recorded["seconds"])
        for path, lines in recorded["lines"].items():
            for line, tests in lines.items():
                self.lines.setdefault(path, {}).setdefault(int(line), set()).update(tests)

    def groups(self, mutant: Mutant, source: str) -> list[list[str]]:
        """Tests of a mutant in the order in which they run: those of its lines, quickest first; the rest of their files.

        Lines outside functions run at import, so that all tests of the module count; the rest of the files is run
        because tests may share cached values.
        """
        of_line = self.lines.get(mutant.path, {})
        lines = range(mutant.line, mutant.line + source[mutant.start : mutant.end].count("\n") + 1)
        inside = any(line in lines for line in _lines_of_functions(source))
        covering = set().union(*(of_line.get(line, set()) for line in lines)) if inside else set()
        covering = covering or set().union(*of_line.values())
        files = {test.split("::")[0] for test in covering}
        rest = {test for test in self.seconds if test.split("::")[0] in files} - covering
        return [sorted(group, key=lambda test: (self.seconds[test], test)) for group in (covering, rest) if group]


def _lines_of_functions(source: str) -> set[int]:
    """Lines of the bodies of all functions."""
    functions = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.FunctionDef))
    return {
        line for node in functions for line in range(node.body[0].lineno, (node.end_lineno or node.body[0].lineno) + 1)
    }
