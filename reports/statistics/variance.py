"""Where the uncertainty of a point comes from: its prompts, and the seeds of its model size."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from reports.grids import Grid, Point
from reports.statistics.estimates import Components, SeedNoise, components, pool

Parts = dict[tuple[str, str], Components]
"""Variance components by (point, objective)."""
Noise = dict[tuple[str, str, str], SeedNoise]
"""Variance between seeds by (size, method, objective), where there are two seeds anywhere at that size."""


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


def seed_noise(points: Sequence[Point], sizes: Iterable[str], names: Iterable[str], parts: Parts) -> Noise:
    """Variance between seeds of every method at every size, moderated over the methods of one size."""
    noise, sizes = {}, list(sizes)
    for name in names:
        for size in sizes:
            known = [point for point in points if point.size == size and (point.id, name) in parts]
            found = pool([parts[point.id, name] for point in known], [point.method for point in known])
            noise |= {(size, method, name): each for method, each in found.items()}
    return noise
