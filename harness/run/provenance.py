"""Provenance of a run: the command, the code, the libraries and the machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

LIBRARIES = (
    "prefrontier", "torch", "transformers", "accelerate", "peft", "tokenizers", "datasets", "numpy", "pandas", "scipy",
    "lm-eval", "alpaca-eval", "detoxify", "textstat", "moocore", "choix", "matplotlib",
)  # fmt: skip


def provenance() -> dict[str, Any]:
    """Facts for the manifest, without names of users or folders."""
    return {
        "command": command(),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "libraries": {name: present for name in LIBRARIES if (present := installed(name))},
    }


def command() -> str:
    """The command line of this process, quoted for a shell."""
    program = Path(sys.argv[0]).name
    return shlex.join([*(["python", "-m", "harness"] if program == "__main__.py" else [program]), *sys.argv[1:]])


def installed(distribution: str) -> str | None:
    """Version of an installed distribution, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def _commit() -> str | None:
    """The checkout's commit, with ``+`` where files differ from it; None outside a checkout."""
    try:
        head = _git("rev-parse", "--short=12", "HEAD")
        changed = _git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=Path(__file__).parent, capture_output=True, text=True, timeout=10)
