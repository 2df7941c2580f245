"""Records of a run arranged as arrays for statistics.

A *point* is what the experiment compares: one method at one sweep value and one model size, measured
by one cell for each seed. A *grid* holds one objective's values as cells × prompts, so that every
estimate, interval and comparison is a product of matrices.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from harness.records import Objective, Records, SchemaError
from reports.text import display_label

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ("judge", "judge_revision", "scorer", "revision", "version", "backend", "decoding", "template")
"""Keys of an item's `detail` that say how it was measured. Items measured differently are not compared."""


@dataclass(frozen=True)
class Point:
    """One configuration with the cells (one a seed) that measured it, in the order of their seeds."""

    id: str
    method: str
    label: str
    size: str
    sweep: str | None
    sweep_value: float | None
    parameters: dict[str, Any]
    cells: tuple[str, ...]
    seeds: tuple[int, ...]
    planned: int
    command: str
    checkpoints: tuple[str, ...] = ()

    @property
    def measured(self) -> bool:
        return bool(self.cells)

    @property
    def shares_checkpoint(self) -> bool:
        """Whether several cells are of one checkpoint, as those of a base model are: no seed of a training is in them."""
        named = [name for name in self.checkpoints if name]
        return len(set(named)) < len(named)


@dataclass(frozen=True)
class Grid:
    """One objective over cells × prompts.

    `total` and `count` are sums and numbers of observed values, `missing` the number of items without
    a value, each of shape (cells, prompts). An objective that is one figure per cell (a cost, a
    closed-form value) has no prompts: `total` is then (cells, 0) and `mean` carries the figures.

    `excluded` maps a cell that cannot be compared with the others to the reason.
    """

    objective: Objective
    cells: tuple[str, ...]
    clusters: tuple[str, ...]
    total: np.ndarray
    count: np.ndarray
    missing: np.ndarray
    mean: np.ndarray
    excluded: dict[str, str]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {cell: row for row, cell in enumerate(self.cells)}

    def rows(self, cells: Iterable[str]) -> list[int]:
        """Row numbers of those of `cells` that have this objective and may be compared."""
        index = self._index
        return [index[cell] for cell in cells if cell in index and cell not in self.excluded]

    def influence(self, rows: Sequence[int]) -> np.ndarray:
        """What each prompt adds to a cell's mean, times the number of prompts; rows sum to zero."""
        total, count = self.total[rows], self.count[rows]
        mean = self.mean[rows][:, None]
        return np.asarray((total - mean * count) / count.mean(1, keepdims=True))


@dataclass(frozen=True)
class Study:
    """Everything measured, ready for statistics: points in reading order and a grid per objective."""

    points: tuple[Point, ...]
    grids: dict[str, Grid]
    records: Records

    @property
    def sizes(self) -> list[str]:
        return list(dict.fromkeys(point.size for point in self.points))

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(point.method for point in self.points))

    def objectives(self, *roles: str) -> list[Objective]:
        """The objectives of these roles that were measured, in the experiment's order."""
        return [grid.objective for grid in self.grids.values() if grid.objective.role in roles]

    def select(self, size: str | None = None, method: str | None = None) -> list[Point]:
        """Measured points of one size and/or method."""
        return [
            point
            for point in self.points
            if point.measured and size in (None, point.size) and method in (None, point.method)
        ]


UNIQUE = {"measures": ["cell", "group", "name"], "truth": ["budget", "point", "objective"], "objectives": ["name"]}
"""Columns by which a row of a table is the only one; figures of the whole run may come from several stages."""


@dataclass(frozen=True)
class Derived:
    """Objectives that are computed from the items of others, and their items."""

    objectives: tuple[Objective, ...] = ()
    items: tuple[pd.DataFrame, ...] = ()


def study(records: Records, derived: Derived | None = None) -> Study:
    """Arrange records into points and grids, with those of derived objectives behind the others.

    An objective's values come from its items; where it has none, from the measure or the column of the
    cells table that bears its name (a closed-form value, a cost).

    Raises
    ------
    SchemaError
        For duplicate cells, a seed given twice for one point, duplicate items, or a value that is not finite.
    """
    require_distinct(records)
    measured = records.cells[records.cells.status == "ok"]
    items = _coded(records.items, measured)
    grids = {}
    for objective in _objectives(records.objectives):
        grid = _item_grid(objective, items) or _figure_grid(objective, records, measured)
        if grid is not None:
            grids[objective.name] = grid
    for objective, frame in zip(derived.objectives, derived.items, strict=True) if derived else ():
        if (grid := _item_grid(objective, _coded(frame, measured))) is not None:
            grids[objective.name] = grid
    return Study(_points(records.cells), grids, records)


def require_distinct(records: Records) -> None:
    """Raise `SchemaError` where two rows of a table have what only one may have."""
    for table, key in UNIQUE.items():
        frame = getattr(records, table)
        frame = frame[frame.cell != ""] if "cell" in key else frame
        if (repeated := frame.duplicated(key)).any():
            row = frame.loc[repeated.idxmax(), key]
            raise SchemaError(f"{table} table: two rows have {', '.join(f'{name} {row[name]!r}' for name in key)}")


def _objectives(frame: pd.DataFrame) -> list[Objective]:
    rows = frame.to_dict("records")
    try:
        return [
            Objective(
                **row
                | {
                    "bounds": tuple(row["bounds"]),
                    "reference_point": None
                    if row["reference_point"] is None or np.isnan(row["reference_point"])
                    else float(row["reference_point"]),
                }
            )
            for row in rows
        ]
    except ValueError as error:
        raise SchemaError(f"objectives table: {error}") from None


def _points(cells: pd.DataFrame) -> tuple[Point, ...]:
    if cells.cell.duplicated().any():
        raise SchemaError(f"cell {cells.cell[cells.cell.duplicated()].iloc[0]!r} is in the cells table twice")
    points = []
    for name, group in cells.groupby("point", sort=False):
        group = group.sort_values("seed")
        if group.seed.duplicated().any():
            raise SchemaError(f"point {name!r} has seed {group.seed[group.seed.duplicated()].iloc[0]} twice")
        done = group[group.status == "ok"]
        first = group.iloc[0]
        value = first.sweep_value
        points.append(
            Point(
                id=name,
                method=first.method,
                label=display_label(first.label),
                size=first["size"],
                sweep=first.sweep or None,
                sweep_value=None if value is None or np.isnan(value) else float(value),
                parameters=json.loads(first.parameters),
                cells=tuple(done.cell),
                seeds=tuple(int(seed) for seed in done.seed),
                planned=len(group),
                command=first.command,
                checkpoints=tuple(done.checkpoint) if "checkpoint" in done else (),
            )
        )
    order = {size: rank for rank, size in enumerate(_sizes(cells))}
    methods = sorted({point.method for point in points})

    def place(point: Point) -> tuple[int, int, bool, float, str, str]:
        swept = point.sweep_value
        return order[point.size], methods.index(point.method), swept is not None, swept or 0.0, point.label, point.id

    return tuple(sorted(points, key=place))


def _sizes(cells: pd.DataFrame) -> list[str]:
    """Model sizes from small to large."""
    return list(cells.groupby("size").n_parameters.max().reset_index().sort_values(["n_parameters", "size"])["size"])


@dataclass(frozen=True)
class _Column:
    """A column of texts: codes into its sorted distinct values, so that the order of rows does not matter."""

    codes: np.ndarray
    values: np.ndarray

    def take(self, rows: np.ndarray) -> _Column:
        """The column of some rows, with the values that they hold."""
        codes = self.codes[rows]
        present = np.bincount(codes, minlength=len(self.values)) > 0
        return _Column((np.cumsum(present) - 1)[codes], self.values[present])


@dataclass(frozen=True)
class _Items:
    """The items of measured cells by columns: every text is looked at once, whatever the number of objectives."""

    objective: _Column
    cell: _Column
    item: _Column
    cluster: _Column
    detail: _Column
    value: np.ndarray

    def of(self, objective: str) -> _Items | None:
        """The items of one objective; None where there are none."""
        code = np.flatnonzero(self.objective.values == objective)
        if not len(code):
            return None
        rows = np.flatnonzero(self.objective.codes == code[0])
        return _Items(
            self.objective.take(rows),
            self.cell.take(rows),
            self.item.take(rows),
            self.cluster.take(rows),
            self.detail.take(rows),
            self.value[rows],
        )


def _coded(items: pd.DataFrame, measured: pd.DataFrame) -> _Items:
    import pandas as pd

    rows = items.cell.isin(measured.cell).to_numpy()
    items = items if rows.all() else items[rows]

    def column(name: str) -> _Column:
        codes, values = pd.factorize(items[name].to_numpy(object), sort=True)
        return _Column(codes, np.asarray(values))

    return _Items(
        column("objective"),
        column("cell"),
        column("item"),
        column("cluster"),
        column("detail"),
        items.value.to_numpy(float),
    )


def _item_grid(objective: Objective, all_items: _Items) -> Grid | None:
    items = all_items.of(objective.name)
    if items is None:
        return None
    _require_values(objective, items)
    row, cells, clusters = items.cell.codes, tuple(items.cell.values), tuple(items.cluster.values)
    shape = (len(cells), len(clusters))
    place = row * shape[1] + items.cluster.codes
    seen = ~np.isnan(items.value)

    def spread(weights: np.ndarray) -> np.ndarray:
        return np.bincount(place, weights, minlength=shape[0] * shape[1]).reshape(shape)

    total, count, missing = (
        spread(np.where(seen, items.value, 0.0)),
        spread(seen.astype(float)),
        spread((~seen).astype(float)),
    )
    with np.errstate(invalid="ignore"):
        mean = total.sum(1) / count.sum(1)
    excluded = _unlike(count + missing > 0, _ways(items), cells) | {
        cell: "none of its items has a value" for cell, n in zip(cells, count.sum(1), strict=True) if n == 0
    }
    return Grid(objective, cells, clusters, total, count, missing, mean, excluded)


def _require_values(objective: Objective, items: _Items) -> None:
    """Raise `SchemaError` for an item that is there twice, or has an infinite value."""
    import pandas as pd

    twice = pd.Series(items.cell.codes * len(items.item.values) + items.item.codes).duplicated().to_numpy()
    for wrong, what in (
        (twice, f"is there twice for objective {objective.name!r}"),
        (np.isinf(items.value), f"has an infinite {objective.name!r}"),
    ):
        if wrong.any():
            row = int(wrong.argmax())
            item, cell = items.item.values[items.item.codes[row]], items.cell.values[items.cell.codes[row]]
            raise SchemaError(f"item {item!r} of cell {cell!r} {what}")


def _ways(items: _Items) -> list[tuple[str, ...]]:
    """By cell, the ways in which its items were measured."""
    import pandas as pd

    code, ways = pd.factorize(np.array([_way(text) for text in items.detail.values], dtype=object), sort=True)
    pairs = np.unique(items.cell.codes * len(ways) + code[items.detail.codes])
    of_cell: list[list[str]] = [[] for _ in items.cell.values]
    for cell, way in zip(*divmod(pairs, len(ways)), strict=True):
        of_cell[cell].append(ways[way])
    return [tuple(some) for some in of_cell]


def _unlike(has: np.ndarray, ways: list[tuple[str, ...]], cells: tuple[str, ...]) -> dict[str, str]:
    """Cells whose set of prompts or way of measuring is not that of the majority.

    Cells may have different numbers of samples of a prompt: every prompt enters a mean and an interval with its own count.

    Parameters
    ----------
    has : ndarray, shape (cells, prompts)
        Whether a cell has items of a prompt.
    """
    sets, sizes = [row.tobytes() for row in np.packbits(has, axis=1)], has.sum(1)
    common_set, common_way = (Counter(each).most_common(1)[0][0] for each in (sets, ways))
    common_size = sizes[sets.index(common_set)]
    reasons = {}
    for cell, items_of, size, way in zip(cells, sets, sizes, ways, strict=True):
        if items_of != common_set:
            reasons[cell] = f"its set of prompts ({size}) is not the others' ({common_size})"
        elif way != common_way:
            reasons[cell] = f"it was measured with {'; '.join(way)}, the others with {'; '.join(common_way)}"
    return reasons


def _way(detail: str) -> str:
    """The part of an item's detail that says how it was measured."""
    if not any(f'"{key}"' in detail for key in SETTINGS):
        return "the default settings"
    how = json.loads(detail)
    return ", ".join(f"{key} {how[key]}" for key in SETTINGS if key in how)


def _figure_grid(objective: Objective, records: Records, measured: pd.DataFrame) -> Grid | None:
    rows = records.measures[(records.measures.name == objective.name) & records.measures.cell.isin(measured.cell)]
    if not rows.empty:
        figures = rows.groupby("cell").value.first()
    elif objective.name in measured and measured[objective.name].dtype.kind in "if":
        figures = measured.set_index("cell")[objective.name].astype(float)
    else:
        return None
    cells, empty = tuple(figures.index), np.zeros((len(figures), 0))
    values = figures.to_numpy(float)
    excluded = {
        cell: "its value is not finite" for cell, value in zip(cells, values, strict=True) if not np.isfinite(value)
    }
    return Grid(objective, cells, (), empty, empty, empty, values, excluded)
