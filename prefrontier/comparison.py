"""Frontiers of methods from a table of item scores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from harness.errors import nearest
from harness.records import Cell, ItemScore, Objective, Records, Status
from reports.analysis import analyse
from reports.build import build
from reports.findings import caveats, findings
from reports.publication import publishing
from reports.results import Analysis

REQUIRED = ("method", "objective", "item", "value")
DEFAULTS = {"setting": "", "seed": 0, "size": "model", "status": Status.OK.value}
OPTIONAL = (*DEFAULTS, "cluster")
WITHOUT_VALUE = (Status.ERROR, Status.UNPARSABLE, Status.SKIPPED)
POLICY = ["size", "method", "setting", "seed"]
PANEL_INCHES = (4.6, 3.6)


@dataclass(frozen=True)
class Comparison:
    """Methods compared on their item scores.

    Parameters
    ----------
    analysis : reports.results.Analysis
        Every estimate, frontier and comparison.
    records : harness.records.Records
        The item scores in the form that runs store.
    """

    analysis: Analysis = field(repr=False)
    records: Records = field(repr=False)

    @property
    def table(self) -> pd.DataFrame:
        """One row per point and objective: the mean with its 95 % interval.

        ``low`` and ``high`` are for the method (seeds and items redrawn) where there are several seeds, else for these
        checkpoints; NaN where no uncertainty can be estimated. ``on_frontier`` is over all objectives of role ``"user"``
        or ``"designer"``; ``membership`` is its bootstrap probability.
        """
        rows = []
        for result in self.analysis.points.values():
            for objective in self.records.objectives["name"]:
                estimate = result.best(objective)
                if estimate is not None:
                    rows.append(
                        {
                            "size": result.point.size,
                            "method": result.point.method,
                            "setting": result.point.parameters.get("setting", ""),
                            "objective": objective,
                            "value": estimate.value,
                            "low": estimate.low,
                            "high": estimate.high,
                            "n": estimate.n,
                            "n_missing": estimate.n_missing,
                            "on_frontier": result.on_frontier,
                            "membership": result.membership,
                        }
                    )
        return pd.DataFrame(rows).astype({"low": float, "high": float, "membership": float})

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per pair of points and objective.

        ``verdict`` says how ``first`` compares with ``second``: better, worse, not separable or not comparable.
        ``difference`` is first minus second; its interval and ``p`` hold for all pairs together. ``dominates`` is the
        bootstrap probability that first dominates second.
        """
        columns = ["size", "first", "second", "objective", "verdict", "difference", "low", "high", "p", "dominates"]
        rows = []
        for comparison in self.analysis.comparisons:
            first, second = (self.analysis.points[point].point for point in (comparison.first, comparison.second))
            difference = comparison.difference
            interval = (difference.value, difference.low, difference.high) if difference else (None, None, None)
            rows.append(
                (first.size, first.label, second.label, comparison.objective, comparison.verdict)
                + (*interval, comparison.p, comparison.dominates)
            )
        numbers = dict.fromkeys(columns[5:], float)
        return pd.DataFrame(rows, columns=columns).astype(numbers)

    @property
    def findings(self) -> list[str]:
        """Sentences that sum up the results, most important first; with several sizes, each names its own."""
        several = len(self.analysis.study.sizes) > 1
        return [
            f"{finding.size}: {finding.text}" if several and finding.size else finding.text
            for finding in findings(self.analysis)
        ]

    @property
    def caveats(self) -> list[str]:
        """Limits of these data: few seeds, few items, missing values, unequal numbers of settings."""
        return caveats(self.analysis, {})

    def __str__(self) -> str:
        return "\n".join([*self.findings, *self.caveats])

    def figure(self, path: str | Path) -> Path:
        """Save the frontiers: one row per size, one panel per pair of a user with a designer or cost objective.

        Parameters
        ----------
        path : path
            File to write; its suffix gives the format (``.pdf``, ``.svg``, ``.png``).

        Raises
        ------
        ValueError
            If no objective has the role ``"user"``, or none the role ``"designer"`` or ``"cost"``.
        """
        import matplotlib
        from matplotlib.figure import Figure

        from reports.page.figures import SETTINGS, draw_panel, handles, save

        panels = self.analysis.panels
        if not panels:
            raise ValueError("a figure needs an objective of role 'user' and one of role 'designer' or 'cost'")
        path = Path(path)
        sizes = list(dict.fromkeys(panel.size for panel in panels))
        rows, columns = len(sizes), len(panels) // len(sizes)
        with matplotlib.rc_context(dict[Any, Any](SETTINGS)):
            figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows), layout="constrained")
            for axes, panel in zip(figure.subplots(rows, columns, squeeze=False).flat, panels, strict=True):
                draw_panel(axes, panel, self.analysis, legend=False)
                if rows > 1:
                    axes.set_title(panel.size)
            figure.legend(handles=handles(self.analysis, truth=False), loc="outside lower center", ncols=4)
            save(figure, path.with_suffix(""), formats=(path.suffix.removeprefix(".") or "pdf",))
        return path

    def report(self, folder: str | Path) -> Path:
        """Write the records and the whole report into a folder; returns the report's ``index.html``."""
        folder = Path(folder)
        with publishing(folder, ["records", "report"]) as work:
            self.records.write(work / "records")
            report = build(work, resamples=self.analysis.resamples, seed=self.analysis.seed)
        return folder / report.relative_to(work)


def compare(scores: pd.DataFrame, objectives: Sequence[Objective], resamples: int, seed: int) -> Comparison:
    """`prefrontier.frontier` with its defaults filled in."""
    records = to_records(scores, objectives)
    return Comparison(analyse(records, resamples, seed), records)


def to_records(scores: pd.DataFrame, objectives: Sequence[Objective]) -> Records:
    """A checked table of item scores as the records of a run; a policy is a cell, its seeds share a point."""
    table = _checked(scores, objectives)
    cells, names = [], {}
    for size, method, setting, seed in table[POLICY].drop_duplicates().itertuples(index=False):
        point = "/".join(part for part in (size, method, str(setting)) if part != "")
        names[size, method, setting, seed] = f"{point}/{seed}"
        cells.append(
            Cell(
                cell=f"{point}/{seed}",
                point=point,
                method=method,
                label=f"{method} {setting}".rstrip(),
                size=size,
                seed=seed,
                parameters={"setting": setting} if setting != "" else {},
                sweep="setting" if _is_number(setting) else None,
                sweep_value=float(setting) if _is_number(setting) else None,
            )
        )
    items = [
        ItemScore(row.objective, row.item, row.cluster, row.value, Status(row.status), cell=names[tuple(policy)])
        for row, policy in zip(table.itertuples(), table[POLICY].itertuples(index=False), strict=True)
    ]
    return Records.build(objectives=[_as_floats(objective) for objective in objectives], cells=cells, items=items)


def _as_floats(objective: Objective) -> Objective:
    """An objective as it comes back from a records folder."""
    reference = None if objective.reference_point is None else float(objective.reference_point)
    low, high = objective.bounds
    return replace(objective, bounds=(float(low), float(high)), reference_point=reference)


def _is_number(setting: object) -> bool:
    return isinstance(setting, int | float | np.number)


def _checked(scores: pd.DataFrame, objectives: Sequence[Objective]) -> pd.DataFrame:
    """The table with every column, or one line that says which row or column is wrong."""
    if missing := [column for column in REQUIRED if column not in scores]:
        raise ValueError(f"the table has no column {missing[0]!r}{nearest(missing[0], map(str, scores.columns))}")
    if unknown := [column for column in scores if column not in (*REQUIRED, *OPTIONAL)]:
        raise ValueError(f"unknown column {unknown[0]!r}{nearest(str(unknown[0]), (*REQUIRED, *OPTIONAL))}")
    if scores.empty:
        raise ValueError("the table has no rows")
    table = scores.assign(**{name: value for name, value in DEFAULTS.items() if name not in scores})
    table = table if "cluster" in table else table.assign(cluster=table["item"])
    for column in table.columns.drop("value"):
        _refuse(table, table[column].isna(), f"no {column}")
    table = table.astype({"method": str, "objective": str, "item": str, "cluster": str, "size": str, "status": str})
    _check_objectives(table, objectives)
    _check_values(table, objectives)
    _refuse(table, table.duplicated([*POLICY, "objective", "item"]), "this item is in the table twice for its policy")
    _check_items(table)
    return table


def _refuse(table: pd.DataFrame, wrong: pd.Series, why: str) -> None:
    """Raise for the first row that is wrong."""
    if wrong.any():
        row = table[wrong].iloc[0]
        where = ", ".join(f"{name} {row[name]!r}" for name in ("method", "objective", "item"))
        raise ValueError(f"row {row.name} ({where}): {why}")


def _check_objectives(table: pd.DataFrame, objectives: Sequence[Objective]) -> None:
    declared = [objective.name for objective in objectives]
    measured = set(table["objective"])
    if twice := [name for name in declared if declared.count(name) > 1]:
        raise ValueError(f"objective {twice[0]!r} is declared twice")
    if undeclared := sorted(measured - set(declared)):
        raise ValueError(
            f"objective {undeclared[0]!r} is in the table but not declared{nearest(undeclared[0], declared)}"
        )
    if absent := [name for name in declared if name not in measured]:
        raise ValueError(f"objective {absent[0]!r} is declared but not in the table{nearest(absent[0], measured)}")


def _check_values(table: pd.DataFrame, objectives: Sequence[Objective]) -> None:
    states = [status.value for status in Status]
    _refuse(table, ~table["status"].isin(states), f"the status is none of {', '.join(states)}")
    values = pd.to_numeric(table["value"], errors="coerce")
    _refuse(table, values.isna() & table["value"].notna(), "the value is not a number")
    without = table["status"].isin(WITHOUT_VALUE)
    _refuse(table, values.isna() & ~without, "the value is NaN; a missing value has the status 'error' or 'skipped'")
    _refuse(table, np.isinf(values), "the value is infinite")
    bounds = {objective.name: objective.bounds for objective in objectives}
    low, high = (table["objective"].map({name: pair[end] for name, pair in bounds.items()}) for end in (0, 1))
    _refuse(table, (values < low) | (values > high), "the value is outside the objective's bounds")


def _check_items(table: pd.DataFrame) -> None:
    """Every policy must be measured on the same items, or differences of means are differences of items."""
    for objective, rows in table.groupby("objective"):
        sets = rows.groupby(POLICY, sort=False)["item"].agg(frozenset)
        everything = frozenset().union(*sets)
        for policy, items in sets.items():
            if lacking := sorted(everything - items):
                name = ", ".join(
                    f"{column} {value!r}" for column, value in zip(POLICY, policy, strict=True) if value != ""
                )
                raise ValueError(
                    f"{name} has no item {lacking[0]!r} of objective {objective!r} ({len(lacking)} in all); every policy "
                    "needs the same items, a missing one with the status 'error'"
                )
