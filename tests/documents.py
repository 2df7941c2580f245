"""Code blocks of the documents, executed in order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT


def code(page: str) -> str:
    """All Python blocks of a page of `docs/`, in order, as one script with the page's line numbers."""
    lines = (ROOT / "docs" / page).read_text(encoding="utf-8").splitlines()
    inside, script = False, []
    for line in lines:
        if re.match(r"```", line):
            inside = line == "```python"
            script.append("")
        else:
            script.append(line if inside else "")
    return "\n".join(script)


def python(arguments: list[str], folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, with this checkout importable after the folder's own modules."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | environment,
        capture_output=True,
        text=True,
    )


def files(page: str) -> dict[str, str]:
    """Python blocks of a page by the path that the first line of each names."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", text, flags=re.S)
    return dict(blocks)


def blocks(page: str) -> list[tuple[str, str]]:
    """All code blocks of a page, in order: language and content."""
    return re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.S | re.M)
