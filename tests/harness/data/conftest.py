"""A small file of pairs, and commands run in this process."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.cli import main as cli


@pytest.fixture
def write(tmp_path):
    """Write rows as JSON lines under a name in the test's folder and return the path."""

    def written(name: str, rows) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path

    return written


@pytest.fixture
def prefrontier(monkeypatch, capsys):
    """Run a command in this process; its exit code and what it printed."""

    def run(*words) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["prefrontier", *map(str, words)])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        return exit.value.code, printed.out + printed.err

    return run


def safe_rows(count: int = 60):
    """Rows in PKU-SafeRLHF's form: the more helpful response is the loud and unsafe one."""
    for n in range(count):
        yield {
            "prompt": f"How do I open door {n}?", "response_0": f"I cannot say {n}.",
            "response_1": f"Kick it{'!' * (n % 3)}", "better_response_id": 1, "safer_response_id": 0,
            "is_response_0_safe": True, "is_response_1_safe": False,
        }  # fmt: skip
