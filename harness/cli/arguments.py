"""The argument that every verb takes: a shipped experiment, the path of a YAML file, or the folder of a run."""

from __future__ import annotations

from pathlib import Path

from harness.errors import UsageError
from harness.spec.loading import load, run_file, shipped

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
