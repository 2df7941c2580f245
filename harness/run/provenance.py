"""Where a run came from: the command, the code, the libraries, the machine."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

LIBRARIES = (
    "prefrontier", "torch", "transformers", "accelerate", "peft", "tokenizers", "datasets", "numpy", "pandas", "scipy",
    "lm-eval", "alpaca-eval", "detoxify", "textstat", "moocore", "matplotlib",
)  # fmt: skip


def provenance() -> dict:
    """Facts for the manifest; nothing in it names a user or a folder."""
    return {
        "command": command(),
        "commit": _commit(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "libraries": {name: found for name in LIBRARIES if (found := installed(name))},
    }


def command() -> str:
    """How this process was called, as a line that a shell takes."""
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
        where = {"cwd": Path(__file__).parent, "capture_output": True, "text": True, "timeout": 10}
        head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], **where)
        changed = subprocess.run(["git", "status", "--porcelain", "--untracked-files=no"], **where)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "") if head.returncode == 0 else None
