"""The rooms' walls: who may import whom, and what importing costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.paths import ROOT


def test_imports_go_one_way():
    result = subprocess.run([sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"],
                            cwd=ROOT, capture_output=True, text=True)  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert "4 kept, 0 broken" in result.stdout


@pytest.mark.parametrize(
    "module", ["harness.cli.main", "harness.records", "harness.spec.loading", "reports.build", "suites.objectives"]
)
def test_importing_stays_light(module):
    heavy = "{'torch', 'transformers', 'alpaca_eval', 'detoxify', 'lm_eval'}"
    code = f"import {module}, sys; found = {heavy} & set(sys.modules); assert not found, found"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
