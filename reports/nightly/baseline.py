"""Baselines: numbered copies of runs, each with the reason why it was blessed. None is ever changed.

`DIR/0001`, `DIR/0002`, ... hold records, manifest and resolved experiment; the highest number is the one in
force. A new one appears by a single rename, so whatever happens there is a whole one.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path

from reports.nightly.pairing import IDENTITY
from reports.run_folder import EXPERIMENT, Refused, Stored, read
from trainers.files import rename_flushed, temporary_folder

BLESSING = "blessing.json"


def current(folder: Path) -> Path:
    """The baseline in force in `folder`: the highest number, or the folder itself if it is a run.

    Raises
    ------
    Refused
        When there is none, saying how to make one.
    """
    folder = Path(folder)
    if (folder / "records").is_dir():
        return folder
    baselines = _numbered(folder)
    if not baselines:
        raise Refused(
            f"{folder}: no baseline yet; look at a run's report, then make it the baseline with "
            f'`prefrontier bless RUN_DIR --baseline {folder} --reason "..."`'
        )
    return baselines[-1]


def bless(run_dir: Path, folder: Path, reason: str, command: str, when: datetime) -> tuple[Path, list[str]]:
    """Make a run the new baseline; older ones stay.

    Returns
    -------
    Path
        The new baseline.
    list of str
        Cells of the baseline before that the new one lacks: they are guarded no longer.

    Raises
    ------
    Refused
        Without a reason, or for a run in which a cell was not measured.
    """
    reason, folder = reason.strip(), Path(folder)
    if not reason:
        raise Refused("--reason is empty; say why this run should be what others are compared with")
    if (folder / "records").is_dir():
        raise Refused(f"{folder} is a run; a baseline needs a folder of its own")
    run = read(run_dir)
    _refuse_incomplete(run)
    older = _numbered(folder)
    dropped = sorted(_cells(read(older[-1])) - _cells(run)) if older else []
    number = int(older[-1].name) + 1 if older else 1
    folder.mkdir(parents=True, exist_ok=True)
    baseline = folder / f"{number:04d}"
    with temporary_folder(baseline) as work:
        shutil.copytree(run.folder / "records", work / "records", ignore=shutil.ignore_patterns(".*"))
        for name in (EXPERIMENT, "manifest.json"):
            shutil.copy2(run.folder / name, work / name)
        blessing = {
            "number": number,
            "reason": reason,
            "date": when.isoformat(timespec="seconds"),
            "command": command,
            "run": run.id,
            "commit": run.manifest.get("commit"),
            "cells": len(run.records.cells),
            "no_longer_guarded": dropped,
        }
        (work / BLESSING).write_text(json.dumps(blessing, indent=1, ensure_ascii=False), encoding="utf-8")
        # Where two bless at once, the second finds the name taken and fails: a folder that is not empty is never replaced.
        rename_flushed(work, baseline)
    return baseline, dropped


def _numbered(folder: Path) -> list[Path]:
    """Baselines from the first to the last."""
    baselines = [path for path in folder.glob("[0-9]*") if path.name.isdigit() and (path / BLESSING).is_file()]
    return sorted(baselines, key=lambda path: int(path.name))


def _cells(run: Stored) -> set[str]:
    rows = run.records.cells[IDENTITY].astype(str)
    return {f"{row['label']}, {row['size']}, seed {row['seed']}" for _, row in rows.iterrows()}


def _refuse_incomplete(run: Stored) -> None:
    cells = run.records.cells
    expected = run.manifest.get("expected_cells", len(cells))
    broken = cells[cells.status != "ok"]
    if cells.empty or len(broken) or len(cells) < expected:
        what = f"; {broken.label.iloc[0]}, {broken['size'].iloc[0]} {broken.status.iloc[0]}" if len(broken) else ""
        raise Refused(
            f"{run.folder}: only {len(cells) - len(broken)} of {max(expected, len(cells))} cells were measured{what}; "
            "an incomplete run cannot be a baseline"
        )
    if not run.manifest:
        raise Refused(f"{run.folder}/manifest.json: missing; a baseline needs to say where it came from")
