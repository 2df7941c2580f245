"""Tables about the design of a run: differences that it can show, and best settings at the edges of their grids."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import stats

from reports.frontiers.gaps import gap_values
from reports.grids import Point
from reports.page.tables.table import Column, Row, Shown, Table, Value
from reports.results import Analysis
from reports.statistics.estimates import Estimate
from reports.text import display_name

POWER = 0.8
"""Probability with which a difference of the size that a run can show is found."""


def power(analysis: Analysis) -> Table | None:
    """Smallest true differences between two methods that the run finds with probability `POWER`."""
    rows = []
    for size in analysis.study.sizes:
        pairs = [each.difference for each in analysis.hypervolumes if each.size == size]
        behind = [each.behind for each in analysis.gaps if each.size == size and each.behind is not None]
        seeds = {len(result.point.seeds) for result in analysis.points.values() if result.point.size == size}
        for what, differences in (("hypervolume", pairs), ("gap at equal budget", behind)):
            needed = sorted(filter(None, map(detectable, differences)))
            if needed:
                ends = [needed[0], float(np.median(needed)), needed[-1]]
                values: list[Value] = [size, what, len(needed), *ends, f"{min(seeds)}"]
                rows.append(Row(tuple(values), size))
    if not rows:
        return None
    columns = (
        Column("Size", False), Column("Measure", False), Column("Pairs"),
        Column("Least", hint="of the pair that is known best"), Column("Median"), Column("Most"), Column("Seeds"),
    )  # fmt: skip
    note = (
        f"The true difference that would be found with probability {POWER:.0%}: half the width of the pair's interval plus"
        f" {stats.norm.ppf(POWER):.2f} standard errors. A smaller difference may exist and stay unseen. Pairs without an interval"
        " are left out."
    )
    return Table("power", "Differences that this run can show", columns, tuple(rows), note)


def detectable(difference: Estimate) -> float | None:
    """The true difference whose interval excludes 0 with probability `POWER`; None without an interval.

    Examples
    --------
    >>> round(detectable(Estimate(0.3, 0.1, 0.1, 0.5, 0.95, 0, 0, "t")), 4)
    0.2842
    """
    if difference.se is None or difference.low is None or difference.high is None:
        return None
    return float((difference.high - difference.low) / 2 + stats.norm.ppf(POWER) * difference.se)


def grid_edges(analysis: Analysis) -> Table | None:
    """Best setting of every sweep by the gap to the true frontier, and whether the grid ends there."""
    rows = []
    for size, points, best in best_settings(analysis):
        values = sorted(point.sweep_value for point in points if point.sweep_value is not None)
        at = values.index(best.sweep_value) if best.sweep_value is not None else 0
        edge = {0: "lowest", len(values) - 1: "highest"}.get(at, "")
        grid = ", ".join(f"{value:g}" for value in values)
        shown = Shown(best.sweep_value or 0.0, f"{best.sweep_value:g}")
        rows.append(Row((size, display_name(best.method), best.sweep or "", grid, shown, edge), size, best.method))
    if not rows:
        return None
    columns = (
        Column("Size", False), Column("Method", False), Column("Setting", False), Column("Grid", False), Column("Best"),
        Column("Edge of the grid", False, hint="a best setting at an edge may be bettered beyond it"),
    )  # fmt: skip
    note = "Best by the mean gap to the true frontier over seeds, at a budget of 1 nat where it was measured."
    return Table("edges", "Best settings and their grids", columns, tuple(rows), note)


def best_settings(analysis: Analysis) -> Iterator[tuple[str, list[Point], Point]]:
    """Size, settings and best setting of every method with at least two settings whose gaps were measured."""
    gaps = gap_values(analysis.study)
    for size in analysis.study.sizes:
        for method in analysis.study.methods:
            points = [p for p in analysis.study.select(size, method) if p.sweep_value is not None]
            means = {p.id: np.mean([gaps[c] for c in p.cells]) for p in points if p.cells and set(p.cells) <= set(gaps)}
            points = [point for point in points if point.id in means]
            if len(points) > 1:
                yield size, points, min(points, key=lambda point: float(means[point.id]))
