"""Agreement of a run with the stored figures of the same experiment, made on another machine.

Bits are promised on one machine only: other kernels round differently, and training amplifies it like another seed. So every
figure of every setting is compared as a mean over seeds, by the interval of Welch's t for the difference of two independent
means, at a level that holds for all figures together (Bonferroni).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from harness.records import Records
from reports.page.csv_files import csv_text, from_text
from reports.run_folder import Refused

FIGURES = ("win_rate", "toxicity", "readability", "mass_off_grammar", "kl", "gap_at_budget")
"""Exact figures that are stored; sampled ones are stored too, as ``sampled NAME``."""
COLUMNS = ("setting", "size", "seed", "figure", "value")
LEVEL = 0.95
ROUNDING = 1e-8
"""Relative difference that the digits of a stored figure explain."""


@dataclass(frozen=True)
class Difference:
    """One figure of one setting: its means in the run and as stored, and the interval of the difference (run − stored).

    `low` and `high` are None where fewer than two seeds are measured on a side.
    """

    setting: str
    size: str
    figure: str
    run: float
    stored: float
    low: float | None
    high: float | None

    @property
    def agrees(self) -> bool | None:
        """Whether the interval holds 0; None without an interval."""
        return None if self.low is None or self.high is None else self.low <= 0.0 <= self.high


@dataclass(frozen=True)
class Verification:
    """All figures that run and stored table have in common, what is on one side only, and how many cells have equal bits."""

    differences: tuple[Difference, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]
    identical: int
    cells: int

    @property
    def apart(self) -> list[Difference]:
        """Figures whose interval leaves 0 out."""
        return [each for each in self.differences if each.agrees is False]


def figures(records: Records) -> pd.DataFrame:
    """Exact and sampled figures of every measured cell, with the columns `COLUMNS`, in full precision."""
    cells = records.cells[records.cells.status == "ok"].set_index("cell")
    measures = records.measures[(records.measures.group == "exact") & records.measures.name.isin(FIGURES)]
    exact = measures[measures.cell.isin(cells.index)][["cell", "name", "value"]]
    frontier = set(records.objectives[records.objectives.reference_point.notna()].name)
    items = records.items[records.items.objective.isin(frontier) & records.items.cell.isin(cells.index)]
    sampled = items.groupby(["cell", "objective"]).value.mean().reset_index()
    sampled = sampled.rename(columns={"objective": "name"}).assign(name=lambda table: "sampled " + table.name)
    table = pd.concat([exact, sampled], ignore_index=True)
    about = cells.loc[table.cell, ["label", "size", "seed"]].reset_index(drop=True)
    table = pd.concat([about, table[["name", "value"]]], axis=1)
    table.columns = list(COLUMNS)
    return table.sort_values(list(COLUMNS[:4]), kind="stable", ignore_index=True)


def write_figures(records: Records, path: Path) -> None:
    """Store the figures of a run as a CSV file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(csv_text(figures(records), float_format="%.9g"), encoding="utf-8")


def read_figures(path: Path) -> pd.DataFrame:
    """The stored figures in a CSV file.

    Raises
    ------
    Refused
        Naming the file and what it lacks.
    """
    if not path.is_file():
        raise Refused(f"{path}: no such file")
    table = pd.read_csv(path).map(from_text)
    if lacking := [name for name in COLUMNS if name not in table]:
        raise Refused(f"{path}: column {lacking[0]!r} is missing; the columns are {', '.join(COLUMNS)}")
    return table


def verify(run: pd.DataFrame, stored: pd.DataFrame) -> Verification:
    """Compare the figures of a run with stored ones, setting by setting.

    Examples
    --------
    >>> table = pd.DataFrame({"setting": "dpo", "size": "tiny", "seed": [0, 1, 2], "figure": "kl", "value": [1.0, 1.1, 1.2]})
    >>> verify(table, table).apart, verify(table, table).identical
    ([], 3)
    >>> len(verify(table, table.assign(value=table.value + 9)).apart)
    1
    """
    keys = ["setting", "size", "figure"]
    ours, theirs = (dict(iter(table.groupby(keys))) for table in (run, stored))
    both = [key for key in theirs if key in ours]
    level = 1 - (1 - LEVEL) / max(len(both), 1)
    compared = tuple(_difference(key, ours[key].value, theirs[key].value, level) for key in both)
    own, others = ({key[:2] for key in table} for table in (ours, theirs))
    merged = run.merge(stored, on=[*keys, "seed"], suffixes=("", "_stored"))
    rounded = np.isclose(merged.value, merged.value_stored, rtol=ROUNDING, atol=1e-12)
    cells = merged.assign(equal=rounded).groupby(["setting", "size", "seed"]).equal.all()
    return Verification(
        compared, tuple(_named(others - own)), tuple(_named(own - others)), int(cells.sum()), len(cells)
    )


def _named(settings: set[tuple[str, ...]]) -> list[str]:
    return sorted(f"{setting}, {size}" for setting, size in settings)


def _difference(key: tuple[str, ...], run: pd.Series, stored: pd.Series, level: float) -> Difference:
    setting, size, figure = key
    means = float(run.mean()), float(stored.mean())
    if min(len(run), len(stored)) < 2:
        return Difference(setting, size, figure, *means, None, None)
    errors = [float(side.var(ddof=1)) / len(side) for side in (run, stored)]
    total = sum(errors)
    half = ROUNDING * max(1.0, abs(means[0]))
    if total > 0.0:
        df = total**2 / sum(e**2 / (len(side) - 1) for e, side in zip(errors, (run, stored), strict=True))
        half = max(half, float(stats.t.ppf(0.5 + level / 2, df)) * total**0.5)
    difference = means[0] - means[1]
    return Difference(setting, size, figure, *means, difference - half, difference + half)
