"""Disk space of a store by kind of stage and by run, and removal of what no run names."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.store.store import MANIFEST, Store

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
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            inputs = frozenset(manifest.get("inputs", {}).values())
            listed[folder.name] = Artifact(folder.name, manifest.get("kind", "unknown"), folder_size(folder), inputs)
        except (OSError, ValueError):
            listed[folder.name] = Artifact(folder.name, "unreadable", folder_size(folder), frozenset())
    return listed


def named_keys(run_dir: Path, stored: Mapping[str, Artifact]) -> set[str]:
    """Keys of the artifacts that a run names, with those they were made from.

    Parameters
    ----------
    run_dir : Path
        With ``stages.json``, or the ``manifest.json`` of a run that was made before there was one.
    stored : mapping of str to Artifact

    Raises
    ------
    ValueError
        For a folder that names no stage.
    """
    pending: list[str] = []
    for name in (STAGES, "manifest.json"):
        if (run_dir / name).is_file():
            named = json.loads((run_dir / name).read_text(encoding="utf-8"))
            pending = list(named.values()) if name == STAGES else [k for keys in named["cells"].values() for k in keys]
            break
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
        shutil.rmtree(store.path(artifact.key))
        freed += artifact.size
    return freed
