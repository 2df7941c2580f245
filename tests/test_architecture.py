"""Architecture of the packages: direction of imports, cost of imports, and first lines of modules."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.paths import ROOT

ROOMS = ("harness", "trainers", "suites", "reports")
HEAVY = "{'torch', 'transformers', 'alpaca_eval', 'detoxify', 'lm_eval'}"
NO_NOUN = (
    r"(what|whether|how|where|which|who|whose|when|why|i|you|he|she|it|its|we|they|their|this|that|these|those|"
    r"everything|something|nothing|whatever)\b"
)
"""Beginnings of a sentence or a question; a module's first line is a noun phrase that stands alone."""


def test_imports_go_one_way():
    result = subprocess.run([sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
                            cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "8 kept, 0 broken" in result.stdout


def assert_light(code: str) -> None:
    code = f"{code}\nimport sys\nheavy = {HEAVY} & set(sys.modules)\nassert not heavy, heavy"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    "module", ["harness.cli.main", "harness.records", "harness.spec.loading", "reports.build", "suites.objectives"]
)
def test_importing_stays_light(module):
    assert_light(f"import {module}")


@pytest.mark.parametrize(
    "call",
    [
        "from suites.registry import suites; suites()",
        "from suites.judges.registry import judges; judges()",
        "from harness.run.executors import executors; executors()",
        "from harness.spec.loading import load; load('bench')",
    ],
)
def test_finding_what_is_registered_stays_light(call):
    assert_light(call)


def test_methods_load_without_the_model_that_they_train():
    """A plan imports every method; the model's modules would triple its time."""
    code = "import sys, trainers.methods, trainers.data_steps"
    code += "\nmodel = [name for name in sys.modules if name.startswith('trainers.model.')]\nassert not model, model"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def first_lines(room: str) -> dict[str, str]:
    lines = {}
    for path in sorted((ROOT / room).rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        docstring = ast.get_docstring(ast.parse(text))
        if docstring or text.strip():
            lines[str(path.relative_to(ROOT))] = (docstring or "").partition("\n")[0]
    return lines


@pytest.mark.parametrize("room", (*ROOMS, "prefrontier", "tests"))
def test_a_module_begins_with_a_line_that_stands_alone(room):
    lines = first_lines(room)
    assert {path: line for path, line in lines.items() if re.match(NO_NOUN, line, re.IGNORECASE)} == {}
    assert [path for path, line in lines.items() if not line] == []
