"""Earlier runs: the folder that an argument names, and which stages of the run there a plan runs again."""

from __future__ import annotations

import json
from pathlib import Path

from harness.errors import UsageError
from harness.plan.cells import Plan
from harness.spec.experiment import Experiment
from harness.spec.loading import RESOLVED, load, run_file, shipped
from harness.store.store import Store
from harness.store.usage import STAGES

MANIFEST = "manifest.json"
RUNS = Path("runs")


def run_folder(argument: str) -> Path:
    """The folder of the run that an argument names.

    Raises
    ------
    UsageError
        Where there is none.

    Examples
    --------
    >>> run_folder("absent")
    Traceback (most recent call last):
    harness.errors.UsageError: absent: no run folder here or in runs/; run the experiment first, or give its --out folder
    """
    path = Path(argument)
    if path.is_dir():
        return path
    named = argument in shipped() or path.suffix in (".yaml", ".yml")
    folder = RUNS / (load(argument).name if named else argument)
    if not folder.is_dir():
        raise UsageError(
            f"{argument}: no run folder here or in {RUNS}/; run the experiment first, or give its --out folder"
        )
    return folder


def out_folder(argument: str, name: str, out: Path | None) -> Path:
    """The output folder of a run: the one given, that of the run which is named, or ``runs/NAME``."""
    file = run_file(argument)
    return out or (file.parent if file else RUNS / name)


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


def noted_stages(out: Path) -> dict[str, str]:
    """The keys of the stages of the run in a folder by kind and label; empty where it noted none."""
    try:
        names = json.loads((out / STAGES).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    texts = isinstance(names, dict) and all(isinstance(key, str) for key in names.values())
    return names if texts else {}


def _earlier(out: Path) -> tuple[dict[str, str], set[str]]:
    """Stages of the run in a folder: keys by name, and all keys; of an old run, the keys of its cells alone."""
    if not (out / RESOLVED).is_file():
        return {}, set()
    if names := noted_stages(out):
        return names, set(names.values())
    try:
        cells = json.loads((out / MANIFEST).read_text(encoding="utf-8"))["cells"]
        return {}, {key for keys in cells.values() for key in keys}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError):
        return {}, set()
