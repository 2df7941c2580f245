"""Checks of this machine: one line per check, with the remedy for each that fails."""

from __future__ import annotations

import os
import shutil
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement
from rich.console import Console

from harness.cli.answer import Answer
from harness.errors import Exit
from harness.run.provenance import installed
from harness.store.store import Store
from harness.terminal import say

NEEDED_BYTES = 2 * 2**30


def check(store: Store) -> Answer:
    """Print every check; the exit code says whether the machine has everything that the shipped runs need."""
    console = Console(highlight=False, soft_wrap=True)
    results = [*_packages(), _writable(store.root), _disk(store.root), _cores()]
    for good, text in results:
        say(console, ("ok   " if good else "FAIL ") + text)
    notes = [_gpu(), *_extras(), _pronunciations()]
    for text in notes:
        say(console, "info " + text)
    checks = [{"ok": good, "check": text} for good, text in results]
    passed = all(good for good, _ in results)
    return Answer(Exit.OK if passed else Exit.FAILED, {"checks": checks, "notes": notes})


def _packages() -> list[tuple[bool, str]]:
    rows = []
    for requirement in map(Requirement, requires("prefrontier") or ()):
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        present = installed(requirement.name)
        good = present is not None and requirement.specifier.contains(present, prereleases=True)
        if not good:
            rows.append(
                (
                    False,
                    f"{requirement.name} {present or 'is not installed'}: needs {requirement}; pip install '{requirement}'",
                )
            )
    return rows or [(True, "every package is installed in a version that is known to work")]


def _extras() -> list[str]:
    texts = {"ray": "several machines (--executor ray)", "vllm": "fast generation"}
    return [
        f"{name}: {installed(name)}"
        if installed(name)
        else f"{name}: not installed; for {what} pip install 'prefrontier[{name}]'"
        for name, what in texts.items()
    ]


def _writable(root: Path) -> tuple[bool, str]:
    try:
        root.mkdir(parents=True, exist_ok=True)
        probe = root / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        return False, f"store {root} cannot be written ({error.strerror}); set PREFRONTIER_STORE or give --store"
    return True, f"store {root} can be written"


def _disk(root: Path) -> tuple[bool, str]:
    existing = next(folder for folder in [root, *root.parents] if folder.exists())
    free = shutil.disk_usage(existing).free
    return (
        free > NEEDED_BYTES,
        f"{free / 2**30:.1f} GiB free for the store (the shipped runs want {NEEDED_BYTES / 2**30:.0f})",
    )


def _cores() -> tuple[bool, str]:
    return True, f"{os.cpu_count()} cores: that many stages run at a time"


def _gpu() -> str:
    import torch

    return f"GPU: {torch.cuda.get_device_name()}" if torch.cuda.is_available() else "no GPU: stages run on the CPU"


def _pronunciations() -> str:
    import nltk

    try:
        nltk.data.find("corpora/cmudict")
    except LookupError:
        return "textstat's pronunciation data is absent: grades use the rule-based measure (python -m nltk.downloader cmudict)"
    return "textstat's pronunciation data is present: the consensus grade is available"
