"""The planes in which frontiers are drawn, and the truth in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from harness.records import Objective, Records
from reports.frontiers import frontier
from reports.grids import Point, Study
from reports.results import Panel
from reports.statistics.resampling import Replicates

ATTAINMENT_DRAWS = 400


def true_points(records: Records, budget: float, objectives: Sequence[Objective]) -> np.ndarray:
    """The non-dominated true points at one KL budget, sorted along the first objective."""
    rows = records.truth[records.truth.budget == budget]
    table = rows.pivot(index="point", columns="objective", values="value")
    if any(objective.name not in table for objective in objectives):
        return np.zeros((0, len(objectives)))
    points = table[[objective.name for objective in objectives]].dropna().to_numpy(float)
    points = points[frontier.non_dominated(points, objectives)]
    points = points[np.argsort(points[:, 0], kind="stable")]
    return _hull(points, objectives) if len(objectives) == 2 else points


def _hull(points: np.ndarray, objectives: Sequence[Objective]) -> np.ndarray:
    """The corners of the concave hull of a plane's true points, which come sorted along the first axis.

    All objectives are linear in the policy and the KL is convex, so mixtures of optimal policies stay within the
    budget: every chord between true points is attained, and a point under one is not on the frontier.
    """
    sign = 1.0 if objectives[1].direction == "maximize" else -1.0
    hull: list[np.ndarray] = []
    for point in points:
        while len(hull) > 1 and sign * _cross(hull[-2], hull[-1], point) >= 0:
            hull.pop()
        hull.append(point)
    return np.array(hull)


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def panels_of(
    study: Study, points: Sequence[Point], draws: Replicates | None, axes: Sequence[Objective]
) -> list[Panel]:
    """Every plane at every size."""
    panels = []
    for size in study.sizes:
        here = [point for point in points if point.size == size]
        if here and draws is not None:
            panels += [_panel(study, here, draws, x, y) for x, y in planes(axes)]
    return panels


def planes(axes: Sequence[Objective]) -> list[tuple[Objective, Objective]]:
    """Each designer objective and each cost against each user objective, or against the first objective of a run without.

    Examples
    --------
    >>> grade, length = (Objective(name, name, "minimize", "") for name in ("grade", "length"))
    >>> [(x.name, y.name) for x, y in planes([grade, length])]
    [('length', 'grade')]
    """
    users = [axis for axis in axes if axis.role == "user"] or list(axes[:1])
    return [(x, y) for y in users for x in axes if x not in users and x.role in ("designer", "cost")]


def _panel(study: Study, points: Sequence[Point], draws: Replicates, x: Objective, y: Objective) -> Panel:
    pair = (x, y)
    part = draws.select([point.id for point in points], [x.name, y.name])
    rows = {name: [i for i, point in enumerate(points) if point.method == name] for name in study.methods}
    rows = {name: members for name, members in rows.items() if members}
    thinned = part.best[:: max(1, len(part.best) // ATTAINMENT_DRAWS)]
    budgets = sorted(study.records.truth.budget.unique())
    truth = {budget: true_points(study.records, budget, pair) for budget in budgets}
    return Panel(
        size=points[0].size,
        x=x,
        y=y,
        frontier=frontier.staircase(part.estimate, pair),
        steps={name: frontier.staircase(part.estimate[members], pair) for name, members in rows.items()},
        attainment={name: frontier.attainment(thinned[:, members], pair) for name, members in rows.items()},
        truth={budget: line for budget, line in truth.items() if len(line)},
    )
