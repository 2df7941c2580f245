"""Variance components of every point and objective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.estimates import Components, components

Parts = dict[tuple[str, str], Components]
"""Variance components by (point, objective)."""


def variance_parts(points: Sequence[Point], grids: Mapping[str, Grid]) -> Parts:
    """Of each point's mean over its seeds and prompts."""
    parts = {}
    for name, grid in grids.items():
        for point in points:
            rows = grid.rows(point.cells)
            if rows:
                influence = grid.influence(rows) if grid.clusters else np.zeros((len(rows), 0))
                parts[point.id, name] = components(grid.mean[rows], influence)
    return parts
