"""Trackers: where the curves, scores, tables and figures of a finished run are logged. Each file of this package registers one."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING

from harness.errors import UsageError, described, nearest

if TYPE_CHECKING:
    import pandas as pd

    from harness.records import Records

FOLDER = "trackers"
"""Folder in that of the run for what trackers write."""

Setting = str | int | float | bool


@dataclass(frozen=True)
class TrackedCell:
    """What is logged of a measured cell.

    Parameters
    ----------
    name : str
        The cell's id.
    settings : mapping
        Method, size, seed and hyperparameters; a value that is no scalar is its JSON.
    scores : mapping of str to float
        Mean of every objective, as in the report.
    curves : mapping of int to mapping of str to float
        Training metrics by optimizer step, in increasing order; empty where nothing was trained.
    """

    name: str
    settings: Mapping[str, Setting]
    scores: Mapping[str, float]
    curves: Mapping[int, Mapping[str, float]]

    @property
    def last_step(self) -> int:
        """The step at which the scores hold: the last of the curves, 0 without one."""
        return max(self.curves, default=0)


@dataclass(frozen=True)
class TrackedRun:
    """What is logged of a run.

    Parameters
    ----------
    name : str
        The experiment's name, with the world where there are several.
    folder : Path
        Of the run; its report is read.
    cells : sequence of TrackedCell
        The measured ones.
    """

    name: str
    folder: Path
    cells: Sequence[TrackedCell]

    @cached_property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables of the report, by name."""
        import pandas as pd

        return {file.stem: pd.read_csv(file) for file in sorted(self.folder.glob("report/tables/*.csv"))}

    @cached_property
    def figures(self) -> dict[str, Path]:
        """PNG files of the figures of the report, by name."""
        return {file.stem: file for file in sorted(self.folder.glob("report/figures/*.png"))}

    def place(self, tracker: str) -> Path:
        """Folder for the files of a tracker in that of the run, created where it is not there."""
        folder = self.folder / FOLDER / tracker
        folder.mkdir(parents=True, exist_ok=True)
        return folder


Log = Callable[[TrackedRun], None]
"""Logs a run; whatever it raises is told in one line."""


@dataclass(frozen=True)
class Tracker:
    """A tracker that is registered: its name, the package that it needs, and the function that logs a run."""

    name: str
    package: str
    log: Log


_trackers: dict[str, Tracker] = {}


def register(name: str, package: str) -> Callable[[Log], Log]:
    """Decorator that registers a function that logs a `TrackedRun`.

    Parameters
    ----------
    name : str
        As in ``--tracker NAME``.
    package : str
        The package that the function imports; a run is refused where it is not installed.

    Raises
    ------
    ValueError
        Naming the file of the function: for a name that is taken, or a function that does not take one argument.

    Examples
    --------
    >>> @register("nowhere", package="json")
    ... def nowhere():
    ...     pass
    Traceback (most recent call last):
    ValueError: <doctest harness.run.trackers.register[0]>: tracker 'nowhere': its function must take one ...
    """

    def decorate(log: Log) -> Log:
        where = f"{inspect.getfile(log)}: tracker {name!r}"
        if name in _trackers:
            raise ValueError(f"{where} is registered already, by {_trackers[name].log.__module__}")
        if len(inspect.signature(log).parameters) != 1:
            raise ValueError(f"{where}: its function must take one argument, a TrackedRun")
        _trackers[name] = Tracker(name, package, log)
        return log

    return decorate


def trackers() -> dict[str, Tracker]:
    """Every tracker by name; all modules of this package are imported."""
    for module in iter_modules(__path__):
        import_module(f"{__name__}.{module.name}")
    return dict(_trackers)


def find_trackers(names: Iterable[str]) -> list[Tracker]:
    """The trackers of these names, each once.

    Raises
    ------
    UsageError
        With the nearest name, for one that is not registered, and for one whose package is not installed.

    Examples
    --------
    >>> find_trackers(["tensorbord"])
    Traceback (most recent call last):
    harness.errors.UsageError: --tracker: unknown tracker 'tensorbord'; did you mean 'tensorboard'?
    """
    registered = trackers()
    chosen = []
    for name in dict.fromkeys(names):
        if name not in registered:
            raise UsageError(f"--tracker: unknown tracker {name!r}{nearest(name, registered)}")
        if find_spec(registered[name].package) is None:
            raise UsageError(
                f"--tracker {name}: the package {registered[name].package!r} is not installed; "
                "pip install 'prefrontier[trackers]'"
            )
        chosen.append(registered[name])
    return chosen


def track(chosen: Sequence[Tracker], run: TrackedRun) -> dict[str, str]:
    """Log a run with every tracker; the errors of those that failed, by name."""
    failures = {}
    for tracker in chosen:
        try:
            tracker.log(run)
        except Exception as error:  # the run is measured, whatever a tracker's library raises
            failures[tracker.name] = described(error)
    return failures


def tracked_run(name: str, records: Records, folder: Path) -> TrackedRun:
    """What is logged of the records of a run and of the report in its folder."""
    from reports.grids import study

    means = {
        objective: dict(zip(grid.cells, grid.mean.tolist(), strict=True))
        for objective, grid in study(records).grids.items()
    }
    curves: dict[str, dict[int, dict[str, float]]] = {}
    for point in records.curves.sort_values("step", kind="stable").itertuples(index=False):
        curves.setdefault(point.cell, {}).setdefault(int(point.step), {})[point.metric] = float(point.value)
    measured = records.cells[records.cells.status == "ok"]
    cells = [
        TrackedCell(
            name=row["cell"],
            settings=_settings(row),
            scores={
                name: by[row["cell"]] for name, by in means.items() if math.isfinite(by.get(row["cell"], math.nan))
            },
            curves=curves.get(row["cell"], {}),
        )
        for row in measured.to_dict("records")
    ]
    return TrackedRun(name, folder, cells)


def _settings(row: Mapping[str, object]) -> dict[str, Setting]:
    parameters = json.loads(str(row["parameters"]))
    values = {"method": row["method"], "size": row["size"], "seed": int(str(row["seed"])), **parameters}
    return {
        name: value if isinstance(value, str | int | float | bool) else json.dumps(value)
        for name, value in values.items()
    }
