"""A stored run: its records, its experiment and its manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from harness.records import Records
from reports.grids import require_distinct
from reports.manifest import read_manifest
from reports.publication import settle

EXPERIMENT = "experiment.resolved.yaml"


class Refused(ValueError):
    """Two runs cannot be compared, or a run cannot be a baseline; the message says why."""


@dataclass(frozen=True)
class Stored:
    """A run as it is stored.

    `id` is the hash of manifest and item scores: the same run read twice has the same one, another run never.
    """

    folder: Path
    records: Records
    experiment: dict[str, Any]
    manifest: dict[str, Any]
    id: str


def read(folder: Path) -> Stored:
    """Read a run folder. A run that ended before it had records has measured nothing: its tables are empty.

    Raises
    ------
    Refused
        Naming the file that is missing or not what it should be.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Refused(f"{folder}: no such folder")
    settle(folder)
    path = folder / EXPERIMENT
    if not path.is_file():
        raise Refused(f"{path}: missing; it says how the run was measured")
    try:
        experiment = yaml.safe_load(path.read_text(encoding="utf-8"))
        records = Records.read(folder / "records") if (folder / "records").is_dir() else Records.build()
        require_distinct(records)
        manifest = read_manifest(folder)
    except (yaml.YAMLError, OSError, ValueError, RecursionError) as error:
        raise Refused(f"{folder}: {' '.join(str(error).split())}") from error
    if not isinstance(experiment, dict):
        raise Refused(f"{path}: holds a {type(experiment).__name__}, not an experiment")
    digest = hashlib.sha256()
    for name in ("manifest.json", "records/cells.parquet", "records/items.parquet", "records/measures.parquet"):
        digest.update((folder / name).read_bytes() if (folder / name).is_file() else b"")
    return Stored(folder, records, experiment, manifest, digest.hexdigest()[:16])
