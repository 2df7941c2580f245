"""A run and its baseline, matched cell by cell and item by item.

Cells are matched by method, label, size and seed, not by their ids: an id changes with the code, and a
change of the code is what a gate looks at. Items are matched by their own ids.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from harness.records import Records
from reports.grids import Grid, Point, Study, study
from reports.run_folder import Refused

IDENTITY = ["method", "label", "size", "seed"]
Lacking = dict[tuple[str, str], str]
"""Why there is no row, by (cell, objective)."""


@dataclass(frozen=True)
class Unmeasured:
    """A planned cell, or one of its objectives, that has nothing to compare."""

    cell: str
    why: str
    command: str


@dataclass(frozen=True)
class Pairing:
    """What two runs have in common, under ids that both share.

    Parameters
    ----------
    points : tuple of Point
        The baseline's points that have a matched cell, with the run's commands.
    run, baseline, difference : dict of str to Grid
        By objective, over the same cells and prompts; `difference` is run − baseline, item by item, over the
        items that have a value in both.
    lost : dict
        By (point, objective), the number of items that the baseline has and the run lacks, and the difference
        if each of them had the objective's worst value.
    planned : tuple of str
        The baseline's cells: what "all" means.
    new : tuple of str
        Cells of the run that the baseline does not know.
    commands : dict of str to str
        How to make each of the run's cells again.
    measurement : str
        Hash of the run's matched scores: equal for runs that measured bit for bit the same.
    """

    points: tuple[Point, ...]
    run: dict[str, Grid]
    baseline: dict[str, Grid]
    difference: dict[str, Grid]
    items: pd.DataFrame
    lost: dict[tuple[str, str], tuple[int, float]]
    planned: tuple[str, ...]
    unmeasured: tuple[Unmeasured, ...]
    new: tuple[str, ...]
    commands: dict[str, str]
    measurement: str

    @property
    def measured(self) -> int:
        """Planned cells with every objective compared."""
        return len(set(self.planned) - {lack.cell for lack in self.unmeasured})

    @property
    def sizes(self) -> list[str]:
        return list(dict.fromkeys(point.size for point in self.points))


def pair(run: Records, baseline: Records) -> Pairing:
    """Match two runs.

    Raises
    ------
    Refused
        When a cell or item is there twice, or an objective was measured on other items.
    """
    mine, other = _named(run.cells, "the run"), _named(baseline.cells, "the baseline")
    absent = _absent(mine, other)
    matched = [name for name in other.index if name not in absent]
    sides = [_side(records, cells, matched) for records, cells in ((run, mine), (baseline, other))]
    items, without_items = _items(sides[0].items, sides[1].items, baseline.objectives)
    studies = [_study(side, items, column) for side, column in zip(sides, ("value_run", "value_baseline"), strict=True)]
    grids = {
        name: _aligned(studies[0].grids[name], studies[1].grids[name])
        for name in studies[1].grids
        if name in studies[0].grids
    }
    commands = dict(mine.command)
    # The id of a cell that the run does not have depends on the code: only the experiment can be named.
    lacks = [
        Unmeasured(cell, why, commands.get(cell, other.command[cell].partition(" --cell ")[0]))
        for cell, why in absent.items()
    ]
    lacks += [
        Unmeasured(cell, why, commands[cell]) for cell, why in _incomplete(studies, grids, without_items, matched)
    ]
    compared = {cell for _, _, grid in grids.values() for cell in grid.cells}
    return Pairing(
        points=tuple(point for point in studies[0].points if compared & set(point.cells)),
        run={name: grid for name, (grid, _, _) in grids.items()},
        baseline={name: grid for name, (_, grid, _) in grids.items()},
        difference={name: grid for name, (_, _, grid) in grids.items()},
        items=items,
        lost=_lost(items, {cell: point.id for point in studies[0].points for cell in point.cells}),
        planned=tuple(other.index),
        unmeasured=tuple(lacks),
        new=tuple(name for name in mine.index if name not in other.index),
        commands=commands,
        measurement=_digest(items, studies[0]),
    )


def _named(cells: pd.DataFrame, whose: str) -> pd.DataFrame:
    """Cells by a name that does not depend on the code."""
    names = cells.label + ", " + cells["size"] + ", seed " + cells.seed.astype(str)
    ambiguous = names.duplicated(keep=False) & ~cells.duplicated(IDENTITY, keep=False)
    names = names.where(~ambiguous, cells.method + ": " + names)
    if names.duplicated().any():
        raise Refused(
            f"{whose} has the cell {names[names.duplicated()].iloc[0]!r} twice; give its methods distinct labels"
        )
    points = names.str.rsplit(", seed ", n=1).str[0]
    return cells.assign(stored=cells.cell, cell=names, point=points).set_index("cell", drop=False)


def _absent(mine: pd.DataFrame, other: pd.DataFrame) -> dict[str, str]:
    """Why a cell of the baseline cannot be compared at all."""
    absent = {}
    for name, cell in other.iterrows():
        if cell.status != "ok":
            absent[name] = f"{cell.status} in the baseline"
        elif name not in mine.index:
            absent[name] = "not part of this run"
        elif mine.status[name] != "ok":
            absent[name] = " ".join(f"{mine.status[name]}: {mine.error[name]}".split())
    return absent


def _side(records: Records, cells: pd.DataFrame, matched: list[str]) -> Records:
    """The matched cells of one run under their common names."""
    cells = cells.loc[matched]
    names = dict(zip(cells.stored, cells.index, strict=True))

    def renamed(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame[frame.cell.isin(names)]
        return frame.assign(cell=frame.cell.map(names))

    return replace(
        records, cells=cells.reset_index(drop=True), items=renamed(records.items), measures=renamed(records.measures)
    )


def _items(mine: pd.DataFrame, other: pd.DataFrame, objectives: pd.DataFrame) -> tuple[pd.DataFrame, Lacking]:
    """Both runs' values side by side, and the (cell, objective) pairs that the run has no row of."""
    keys = ["cell", "objective", "item"]
    mine = mine[mine.objective.isin(other.objective)]
    for frame, whose in ((mine, "the run"), (other, "the baseline")):
        twice = frame[frame.duplicated(keys)]
        if len(twice):
            raise Refused(
                f"{whose} has item {twice['item'].iloc[0]!r} of {twice.cell.iloc[0]} ({twice.objective.iloc[0]}) twice"
            )
    both = other[[*keys, "cluster", "value"]].merge(
        mine[[*keys, "cluster", "value"]], "outer", keys, suffixes=("_baseline", "_run"), indicator=True
    )
    whole = both.groupby(["cell", "objective"])._merge.transform(lambda side: (side != "left_only").any()).astype(bool)
    without = dict.fromkeys(
        both.loc[~whole, ["cell", "objective"]].drop_duplicates().itertuples(index=False, name=None), "no items"
    )
    both = both[whole]
    _refuse_other_items(both)
    facts = objectives.set_index("name")
    worst = {
        name: _worst(facts.loc[name], group[["value_run", "value_baseline"]].to_numpy(float))
        for name, group in both.groupby("objective")
        if name in facts.index
    }
    return both.assign(cluster=both.cluster_baseline, worst=both.objective.map(worst)), without


def _refuse_other_items(both: pd.DataFrame) -> None:
    unlike = both[(both._merge != "both") | (both.cluster_baseline != both.cluster_run)]
    if unlike.empty:
        return
    row = unlike.iloc[0]
    where = {"left_only": "only in the baseline", "right_only": "only in the run"}.get(row._merge, "of another prompt")
    raise Refused(
        f"{row.objective} of {row.cell}: the items are not the baseline's ({len(unlike)} differ; "
        f"{row['item']!r} is {where}). Only equal item sets are compared; if the change is meant, bless a new baseline"
    )


def _worst(objective: pd.Series, values: np.ndarray) -> float:
    """The bad end of an objective's bounds, or the worst value seen where there is none."""
    low, high = objective.bounds
    if objective.direction == "maximize":
        return float(low) if np.isfinite(low) else float(np.nanmin(values))
    return float(high) if np.isfinite(high) else float(np.nanmax(values))


def _study(side: Records, items: pd.DataFrame, column: str) -> Study:
    """One run over the items that have a value in both."""
    both = items.value_run.notna() & items.value_baseline.notna()
    frame = items[["cell", "objective", "item", "cluster"]].assign(value=items[column].where(both), detail="{}")
    try:
        return study(replace(side, items=frame))
    except ValueError as error:
        raise Refused(str(error)) from error


def _aligned(run: Grid, baseline: Grid) -> tuple[Grid, Grid, Grid]:
    """Both grids over the cells that both have, and their difference."""
    cells = tuple(cell for cell in baseline.cells if run.rows([cell]) and baseline.rows([cell]))
    run, baseline = _only(run, cells), _only(baseline, cells)
    return run, baseline, replace(run, total=run.total - baseline.total, mean=run.mean - baseline.mean)


def _only(grid: Grid, cells: tuple[str, ...]) -> Grid:
    rows = grid.rows(cells)
    parts = {name: getattr(grid, name)[rows] for name in ("total", "count", "missing", "mean")}
    return replace(grid, cells=cells, excluded={}, **parts)


def _incomplete(
    studies: list[Study], grids: Mapping[str, tuple[Grid, Grid, Grid]], without_items: Lacking, matched: list[str]
) -> list[tuple[str, str]]:
    """Matched cells that lack an objective which the baseline has for them."""
    reasons = [(cell, f"{objective}: {why}") for (cell, objective), why in without_items.items()]
    pairs_without_items = set(without_items)
    for name, grid in studies[1].grids.items():
        compared = grids[name][2].cells if name in grids else ()
        for cell in grid.cells:
            if cell in compared or (cell, name) in pairs_without_items:
                continue
            sides = [side.grids[name].excluded for side in studies if name in side.grids]
            why = next((excluded[cell] for excluded in sides if cell in excluded), "not measured")
            reasons.append((cell, f"{name}: {why}"))
    some = {cell for _, _, grid in grids.values() for cell in grid.cells} | {cell for cell, _ in reasons}
    return reasons + [(cell, "nothing to compare") for cell in matched if cell not in some]


def _lost(items: pd.DataFrame, point_of: dict[str, str]) -> dict[tuple[str, str], tuple[int, float]]:
    measured = items[items.value_baseline.notna()]
    measured = measured.assign(point=measured.cell.map(point_of), lost=measured.value_run.isna())
    measured = measured.assign(change=measured.value_run.fillna(measured.worst) - measured.value_baseline)
    cells = measured.groupby(["point", "objective", "cell"]).agg(lost=("lost", "sum"), change=("change", "mean"))
    points = cells.groupby(["point", "objective"]).agg(lost=("lost", "sum"), change=("change", "mean"))
    return {key: (int(row.lost), float(row.change)) for key, row in points.iterrows() if row.lost}


def _digest(items: pd.DataFrame, run: Study) -> str:
    rows = items.sort_values(["cell", "objective", "item"])[["cell", "objective", "item", "value_run"]]
    digest = hashlib.sha256(pd.util.hash_pandas_object(rows, index=False).to_numpy().tobytes())
    for name, grid in run.grids.items():
        if not grid.clusters:
            digest.update(name.encode() + grid.mean.tobytes())
    return digest.hexdigest()[:16]
