"""A paper's figures beside the run's own, point by point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from reports.page.tables.table import Column, Row, Table, Value
from reports.results import Analysis, PointResult
from reports.statistics.estimates import Estimate
from reports.text import display_label


def published(analysis: Analysis, quoted: Mapping[str, Any] | None) -> Table | None:
    """What the experiment quotes and what was measured; None where it quotes nothing.

    Parameters
    ----------
    analysis : Analysis
    quoted : mapping or None
        ``source``, ``note`` and ``values``: by objective or name of a measure, label of the point, and size.

    Returns
    -------
    Table or None
        One row for every label that is quoted at one of the run's sizes, measured here or not.
    """
    if not quoted:
        return None
    order = {size: rank for rank, size in enumerate(analysis.study.sizes)}
    values: dict[str, dict[str, dict[str, float]]] = {
        name: {display_label(label): sizes for label, sizes in figures.items()}
        for name, figures in quoted["values"].items()
    }
    rows_quoted = {
        (size, label): None for figures in values.values() for label, sizes in figures.items() for size in sizes
    }
    points = {(point.size, point.label): point for point in analysis.study.points}
    columns = [Column("Size", False), Column("Configuration", False)]
    for name in values:
        label = _label(analysis, name)
        columns += [Column(f"{label}: published"), Column("measured", glyph=True), Column("difference")]
    rows = []
    for size, label in sorted((key for key in rows_quoted if key[0] in order), key=lambda key: order[key[0]]):
        point = points.get((size, label))
        result = analysis.points.get(point.id) if point else None
        cells: list[Value] = [size, label]
        for name, figures in values.items():
            theirs = figures.get(label, {}).get(size)
            ours = _ours(analysis, result, name) if result else None
            measured = ours.value if isinstance(ours, Estimate) else ours
            cells += [theirs, ours, None if theirs is None or measured is None else measured - theirs]
        rows.append(Row(tuple(cells), size, point.method if point else "", point.id if point else ""))
    note = f"Published: {quoted['source']}. {quoted.get('note', '')}".strip()
    return Table("published", "Published and measured", tuple(columns), tuple(rows), note)


def _ours(analysis: Analysis, result: PointResult, name: str) -> Estimate | float | None:
    """The objective's estimate, or the mean over seeds of a measure of that name."""
    if name in analysis.study.grids:
        return result.best(name)
    measures = analysis.study.records.measures
    ours = measures[(measures.name == name) & measures.cell.isin(result.point.cells)].value
    return float(ours.mean()) if len(ours) else None


def _label(analysis: Analysis, name: str) -> str:
    if name in analysis.study.grids:
        return analysis.study.grids[name].objective.label
    measures = analysis.study.records.measures
    groups = measures[measures.name == name].group
    return f"{groups.iloc[0]}, {name}".replace("_", " ").capitalize() if len(groups) else name.replace("_", " ")
