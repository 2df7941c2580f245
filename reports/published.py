"""A paper's figures beside the run's own, point by point."""

from __future__ import annotations

from reports.results import Analysis
from reports.tables import Column, Row, Table, Value


def published(analysis: Analysis, given: dict | None) -> Table | None:
    """What the experiment quotes and what was measured; None where it quotes nothing.

    Parameters
    ----------
    analysis : Analysis
    given : dict or None
        ``source``, ``note`` and ``values``: by objective, label of the point, and size.

    Returns
    -------
    Table or None
        One row for every label that is quoted at one of the run's sizes, measured here or not.
    """
    if not given:
        return None
    order = {size: rank for rank, size in enumerate(analysis.study.sizes)}
    values: dict[str, dict[str, dict[str, float]]] = given["values"]
    quoted = {(size, label): None for figures in values.values() for label, sizes in figures.items() for size in sizes}
    points = {(point.size, point.label): point for point in analysis.study.points}
    columns = [Column("Size", False), Column("Configuration", False)]
    for name in values:
        grid = analysis.study.grids.get(name)
        label = grid.objective.label if grid else name.replace("_", " ")
        columns += [Column(f"{label}: published"), Column("measured", glyph=True), Column("difference")]
    rows = []
    for size, label in sorted((key for key in quoted if key[0] in order), key=lambda key: order[key[0]]):
        point = points.get((size, label))
        result = analysis.points.get(point.id) if point else None
        cells: list[Value] = [size, label]
        for name, figures in values.items():
            theirs = figures.get(label, {}).get(size)
            ours = result.best(name) if result else None
            both = theirs is not None and ours is not None
            cells += [theirs, ours, ours.value - theirs if both else None]
        rows.append(Row(tuple(cells), size, point.method if point else "", point.id if point else ""))
    note = f"Published: {given['source']}. {given.get('note', '')}".strip()
    return Table("published", "Published and measured", tuple(columns), tuple(rows), note)
