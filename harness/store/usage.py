"""Disk space of a store by kind of stage and by run, and removal of what no run names."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.store.store import Store
from trainers.files import remove

STAGES = "stages.json"
"""File of a run folder: the keys of its stages by kind and label."""


@dataclass(frozen=True)
class Artifact:
    """One artifact of a store."""

    key: str
    kind: str
    size: int
    """Bytes."""
    inputs: frozenset[str]
    """Keys of the artifacts that it was made from."""


def folder_size(folder: Path) -> int:
    """Bytes of all files below a folder; 0 for one that is not there."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def artifacts(store: Store) -> dict[str, Artifact]:
    """Every artifact with a readable manifest, by key."""
    listed = {}
    for folder in sorted((store.root / "artifacts").glob("*")):
        try:
            manifest = store.manifest(folder.name)
            kind, inputs = manifest.get("kind", "unknown"), frozenset(manifest.get("inputs", {}).values())
        except FileNotFoundError:
            kind, inputs = "unreadable", frozenset()
        listed[folder.name] = Artifact(folder.name, kind, folder_size(folder), inputs)
    return listed


def named_keys(run_dir: Path, stored: Mapping[str, Artifact]) -> set[str]:
    """Keys of the artifacts that a run names, with those they were made from.

    Parameters
    ----------
    run_dir : Path
        With ``stages.json`` (the stages of its last start), ``manifest.json`` (those of its results), or both.
    stored : mapping of str to Artifact

    Raises
    ------
    ValueError
        For a folder that names no stage.
    """
    pending: list[str] = []
    if (run_dir / STAGES).is_file():
        pending += json.loads((run_dir / STAGES).read_text(encoding="utf-8")).values()
    if (run_dir / "manifest.json").is_file():
        cells = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))["cells"]
        pending += [key for keys in cells.values() for key in keys]
    if not pending:
        raise ValueError(f"{run_dir}: not the output folder of a run")
    keys: set[str] = set()
    while pending:
        key = pending.pop()
        if key in stored and key not in keys:
            keys.add(key)
            pending += stored[key].inputs
    return keys


def prune(store: Store, unnamed: Iterable[Artifact]) -> int:
    """Remove artifacts and return the bytes that are free again."""
    freed = 0
    for artifact in unnamed:
        remove(store.path(artifact.key))
        freed += artifact.size
    return freed
