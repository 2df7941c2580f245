"""Choice of settings on other prompts and other seeds than those that are reported.

A setting that is best on the prompts and seeds it was chosen by owes part of that to chance. So a third of the prompts
(validation) chooses, and the rest (test) is reported; and for each seed the other seeds choose. Which prompt goes where
follows from its id alone: neither the order of rows, nor another prompt, method or run moves it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.records import Objective
from reports.frontiers import frontier
from reports.grids import Grid, Point

SHARE = 1 / 3
"""Share of the prompts that chooses."""
BY_OTHERS = ", chosen by other seeds"
"""Ending of the id of a point whose cells come from several settings."""
FEWEST = 10
"""Fewer prompts than these on a side choose or tell nothing."""


@dataclass(frozen=True)
class Halves:
    """The same objectives over the prompts that choose and over those that are reported."""

    validation: dict[str, Grid]
    test: dict[str, Grid]


def common_budget(settings: Iterable[int]) -> int:
    """The number of settings at which methods are compared: the one that most of them have, the larger of two as common.

    Methods with fewer are compared with all that they have.

    Examples
    --------
    >>> common_budget([1, 4, 4, 4, 12]), common_budget([2, 6]), common_budget([])
    (4, 6, 1)
    """
    counts = Counter(settings)
    return max(counts, key=lambda count: (counts[count], count), default=1)


def chooses(cluster: str) -> bool:
    """Whether this prompt is one of those that choose.

    Examples
    --------
    >>> sum(chooses(f"p{i}") for i in range(3000))
    992
    """
    digest = hashlib.sha256(f"selection\x1f{cluster}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < SHARE * 2**64


def halves(grids: Mapping[str, Grid]) -> Halves | None:
    """Both sides of every grid; None where a side would have fewer than `FEWEST` prompts.

    An objective without prompts (a closed form, a cost) is known without drawing any, and is the same on both sides.
    """
    sides: dict[bool, dict[str, Grid]] = {True: {}, False: {}}
    for name, grid in grids.items():
        mine = np.array([chooses(cluster) for cluster in grid.clusters], dtype=bool)
        if grid.clusters and not FEWEST <= mine.sum() <= len(mine) - FEWEST:
            return None
        for side, chosen in sides.items():
            chosen[name] = part(grid, mine == side) if grid.clusters else grid
    return Halves(sides[True], sides[False]) if any(grid.clusters for grid in grids.values()) else None


def part(grid: Grid, selected: np.ndarray) -> Grid:
    """A grid over some of its prompts, given as a mask."""
    total, count, missing = grid.total[:, selected], grid.count[:, selected], grid.missing[:, selected]
    with np.errstate(invalid="ignore"):
        mean = total.sum(1) / count.sum(1)
    lost = {
        cell: "no prompt of this side has a value" for cell, n in zip(grid.cells, count.sum(1), strict=True) if not n
    }
    clusters = tuple(cluster for cluster, keep in zip(grid.clusters, selected, strict=True) if keep)
    return replace(
        grid, clusters=clusters, total=total, count=count, missing=missing, mean=mean, excluded=lost | grid.excluded
    )


def means(points: Sequence[Point], grids: Mapping[str, Grid], objectives: Sequence[Objective]) -> np.ndarray:
    """Means of points over their seeds, shape (points, objectives)."""
    chosen = [grids[objective.name] for objective in objectives]
    return np.array([[grid.mean[grid.rows(point.cells)].mean() for grid in chosen] for point in points])


def representative(points: Sequence[Point], grids: Mapping[str, Grid], objectives: Sequence[Objective]) -> Point:
    """The point of a method that stands for it: the largest hypervolume alone, else the middle of the sweep."""
    if not objectives or any(objective.reference_point is None for objective in objectives):
        return points[len(points) // 2]
    each = frontier.hypervolumes(means(points, grids, objectives)[:, None], objectives)
    return points[int(np.argmax(each))]


def chosen_by_others(points: Sequence[Point], grids: Mapping[str, Grid], objectives: Sequence[Objective]) -> Point:
    """The setting of a method that stands for it, for each seed chosen by the other seeds.

    A setting that is best in the seeds that it is reported from owes part of that to them. So the cell of every seed is that of
    the setting which is best in the *other* seeds. With one seed, or where all seeds choose the same, it is a plain point.

    Parameters
    ----------
    points : sequence of Point
        The settings of one method.
    grids : dict of str to Grid
        What chooses: the validation prompts.

    Returns
    -------
    Point
        The setting that all seeds together choose, with `cells` from the settings that the other seeds chose. Its id differs
        from the setting's if a cell does.
    """
    together = representative(points, grids, objectives)
    names = [objective.name for objective in objectives]
    cells = []
    for seed in together.seeds:
        others = [part for point in points if seed in point.seeds and (part := _without(point, seed)).cells]
        others = [part for part in others if all(grids[name].rows(part.cells) for name in names)]
        choice = representative(others, grids, objectives).id if others else together.id
        point = next(point for point in points if point.id == choice)
        cells.append(point.cells[point.seeds.index(seed)])
    if tuple(cells) == together.cells:
        return together
    return replace(together, id=together.id + BY_OTHERS, cells=tuple(cells), checkpoints=())


def _without(point: Point, seed: int) -> Point:
    """A point without one of its seeds."""
    rows = [i for i, each in enumerate(point.seeds) if each != seed]
    return replace(point, cells=tuple(point.cells[i] for i in rows), seeds=tuple(point.seeds[i] for i in rows))


def optimism(points: Sequence[Point], sides: Halves, objectives: Sequence[Objective]) -> float:
    r"""How much larger a non-dominated set's hypervolume looks on the prompts that chose it.

    With :math:`V_s(c)` the hypervolume on side *s* of the set that is non-dominated on side *c*,
    :math:`\tfrac12[V_1(1) + V_2(2)] - \tfrac12[V_1(2) + V_2(1)]`. Each side appears once with either sign, so that one
    side's prompts being harder cancels. It is never below 0.
    """
    values = [means(points, grids, objectives) for grids in (sides.validation, sides.test)]
    fronts = [frontier.non_dominated(value, objectives) for value in values]
    volume = [[frontier.hypervolume(value[chosen], objectives) for chosen in fronts] for value in values]
    # rounding must not show as −0.000
    return max(0.0, float((volume[0][0] + volume[1][1] - volume[0][1] - volume[1][0]) / 2))
