"""Formatting, lint, types and sizes of the packages, checked with the configuration of pyproject.toml."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("prefrontier", "trainers", "suites", "reports", "harness")
IGNORES = 10
LONGEST = 60


def run(*command: str) -> None:
    result = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


def files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("arguments", [("format", "--check"), ("check",)], ids=["format", "lint"])
def test_ruff(arguments):
    pytest.importorskip("ruff")
    run("ruff", *arguments, "--no-cache", ".")


def test_types():
    """All packages, strictly; the cache of an earlier run is used."""
    pytest.importorskip("mypy")
    run("mypy")


def test_the_few_ignored_type_errors_have_a_code_and_a_reason():
    ignored = [
        f"{path.relative_to(ROOT)}:{token.start[0]}: {token.string}"
        for path in files()
        for token in tokenize.generate_tokens(path.open(encoding="utf-8").readline)
        if token.type == tokenize.COMMENT and "type: ignore" in token.string
    ]
    unexplained = [line for line in ignored if not re.search(r"# type: ignore\[[a-z-]+(, [a-z-]+)*\]  # \S+ .+", line)]
    assert not unexplained
    assert len(ignored) <= IGNORES, ignored


def test_no_function_is_longer_than_a_screen():
    """Lines of a function without its docstring, the signature included."""
    long = {
        f"{path.relative_to(ROOT)} {node.name}"
        for path in files()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST
    }
    assert not long


def length(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function less those of its docstring."""
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring
