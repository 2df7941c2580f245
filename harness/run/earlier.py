"""An earlier run in the same output folder, and which of its stages a plan runs again."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import UsageError
from harness.plan.cells import Plan
from harness.spec.experiment import Experiment
from harness.spec.loading import RESOLVED, load
from harness.store.store import Store
from harness.store.usage import STAGES

MANIFEST = "manifest.json"


def stage_names(plan: Plan) -> dict[str, str]:
    """The key of every stage by its kind and label."""
    return {f"{stage.kind} · {stage.label}": key for key, stage in plan.stages.items()}


def rerun_note(plan: Plan, store: Store, out: Path) -> str | None:
    """One line on the stages that an earlier run in `out` had under other keys; None where there are none.

    Stages that are in the store under their new keys already are not counted.
    """
    names, keys = _earlier(out)
    if not keys or keys <= plan.stages.keys():
        return None
    rerun = [
        name
        for name, key in stage_names(plan).items()
        if not store.has(key) and key not in keys and (name in names or not names)
    ]
    if not rerun:
        return None
    same = _experiment(out) == plan.experiment
    cause = "their code or their input files changed" if same else "the experiment changed"
    count = "1 stage" if len(rerun) == 1 else f"{len(rerun)} stages"
    return f"{count} of the earlier run in {out} will run again: {cause}"


def has_finished(out: Path) -> bool:
    """Whether the results in a folder are of a run that was not interrupted."""
    try:
        return not json.loads((out / MANIFEST).read_text(encoding="utf-8")).get("interrupted", False)
    except (OSError, ValueError, AttributeError):
        return False


def _experiment(out: Path) -> Experiment | None:
    """The experiment of the run in a folder, with today's defaults; None where it cannot be read any more."""
    try:
        return load(str(out / RESOLVED))
    except UsageError:
        return None


def _earlier(out: Path) -> tuple[dict[str, str], set[str]]:
    """Stages of the run in a folder: keys by name, and all keys; of an old run, the keys of its cells alone."""
    if not (out / RESOLVED).is_file():
        return {}, set()
    try:
        names: dict[str, str] = json.loads((out / STAGES).read_text(encoding="utf-8"))
        return names, set(names.values())
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):  # absent, or not what a run writes there
        pass
    try:
        cells = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["cells"]
        return {}, {key for keys in cells.values() for key in keys}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return {}, set()
