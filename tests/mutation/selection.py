"""The files that are mutated, and the tests that each is run against."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

DEFAULT = (
    "reports/statistics", "reports/frontiers", "reports/nightly", "reports/analysis.py", "reports/grids.py",
    "trainers/methods",
)  # fmt: skip
LEFT_OUT = {"__init__.py", "__main__.py"}
WIDER = {"reports": ["tests/reports/test_build.py"]}
"""Tests of the whole package, run last."""
QUICK = ("test_golden.py", "test_equalities.py", "test_properties.py")
"""Tests that kill most mutants of methods in the shortest time."""


@dataclass(frozen=True)
class Targets:
    """Groups of pytest targets in the order in which they run."""

    groups: tuple[tuple[str, ...], ...]

    @property
    def files(self) -> list[str]:
        return [name for group in self.groups for name in group]


def sources(root: Path, paths: tuple[str, ...] = DEFAULT) -> list[str]:
    """Python files below some paths, relative to the root."""
    found: list[Path] = []
    for path in paths:
        here = root / path
        if not here.exists():
            raise FileNotFoundError(f"{path}: no such file or folder")
        found += [here] if here.is_file() else sorted(here.rglob("*.py"))
    return sorted({str(file.relative_to(root)) for file in found if file.name not in LEFT_OUT})


def targets(path: str, root: Path) -> Targets:
    """The module's doctests, its own test file and those that import it; its package's tests; those of the whole room."""
    module = Path(path)
    mirrored = Path("tests") / module.parent
    own = [str(mirrored / f"test_{module.name}")] if (root / mirrored / f"test_{module.name}").is_file() else []
    dotted = ".".join(module.with_suffix("").parts)
    near = sorted(str(p.relative_to(root)) for p in (root / mirrored).rglob("test_*.py")) if mirrored.parts[1:] else []
    near = [name for name in near if Path(name).parent == mirrored] if module.parent == Path("reports") else near
    quick = [name for name in near if Path(name).name in QUICK]
    importing = [
        str(file.relative_to(root))
        for file in sorted((root / "tests" / module.parts[0]).rglob("test_*.py"))
        if dotted in _imports(file)
    ]
    wider = WIDER.get(module.parts[0], [])
    groups, seen = [], set()
    for group in ([path, *own], quick, importing, near, wider):
        fresh = tuple(name for name in dict.fromkeys(group) if name not in seen and (root / name).exists())
        seen |= set(fresh)
        if fresh:
            groups.append(fresh)
    return Targets(tuple(groups))


def _imports(file: Path) -> set[str]:
    """Modules, and names in modules, that a file imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names
