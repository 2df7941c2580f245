"""Changes of the frontier: hypervolumes and the non-dominated set, from joint draws of both runs."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from harness.records import Objective
from reports.frontiers import frontier
from reports.grids import Point
from reports.nightly.differences import Difference, Level, Statistics, interval
from reports.nightly.noise import Floor, hypervolume_floor
from reports.nightly.pairing import Pairing
from reports.statistics.estimates import Spread, p_value, total_error
from reports.statistics.functionals import Frame, Functional, frame, functional
from reports.statistics.resampling import Replicates, replicate, varies
from reports.statistics.seed_noise import seed_noise
from reports.statistics.variance import variance_parts
from reports.text import display_name

FRONTIER_ROLES = ("user", "designer")
HYPERVOLUME = "hypervolume"
ALL_METHODS = "all methods"
CHANGED = 0.95


@dataclass(frozen=True)
class Membership:
    """How a point's place on the frontier changed; probabilities over joint draws of prompts and seeds."""

    label: str
    size: str
    was: bool
    now: bool
    probability_was: float
    probability_now: float
    probability_left: float

    @property
    def level(self) -> Level:
        return Level.WARN if self.was and not self.now and self.probability_left >= CHANGED else Level.OK


def frontier_changes(
    paired: Pairing, statistics: Statistics, resamples: int, seed: int
) -> tuple[list[Difference], list[Membership], list[str]]:
    """Hypervolumes per size and method, and membership of the non-dominated set, from joint draws.

    The frontier is that of the objectives with a stated reference point. The baseline's draws B and the
    difference's draws D share every prompt's and seed's weight, so B + D is the run under the same draw and what
    both runs share cancels.
    """
    if not paired.points:
        return [], [], []
    objectives = [
        grid.objective
        for grid in paired.baseline.values()
        if grid.objective.role in FRONTIER_ROLES and grid.objective.reference_point is not None
    ]
    if len(objectives) < 2:
        return [], [], ["No frontier was compared: fewer than two objectives state a reference point."]
    names = [objective.name for objective in objectives]
    points = [point for point in paired.points if all((point.id, name) in statistics.parts for name in names)]
    if not points:
        return [], [], []
    base_parts = variance_parts(paired.points, paired.baseline)
    base_noise = seed_noise(paired.points, paired.baseline, base_parts)
    base = replicate(points, [paired.baseline[n] for n in names], base_parts, base_noise, resamples, seed)
    grids = [paired.difference[n] for n in names]
    change = replicate(points, grids, statistics.parts, statistics.noise, resamples, seed)
    rows, members = [], []
    for size in paired.sizes:
        here = [point for point in points if point.size == size]
        shared = frame(here, grids, statistics.noise)
        for name in dict.fromkeys([*(point.method for point in here), ALL_METHODS]):
            mine = [point for point in here if name in (point.method, ALL_METHODS)]
            if mine:
                rows.append(_volume(name, mine, base, change, objectives, statistics.floors, paired, shared, seed))
        members += _members(here, base, change, objectives)
    return rows, members, []


def _volume(
    name: str,
    points: list[Point],
    base: Replicates,
    change: Replicates,
    objectives: list[Objective],
    floors: dict[tuple[str, str], Floor | None],
    paired: Pairing,
    shared: Frame,
    seed: int,
) -> Difference:
    """A hypervolume of the run less the baseline's, as a function of the changes of the means."""
    ids, names = [point.id for point in points], [objective.name for objective in objectives]
    base, change = base.select(ids, names), change.select(ids, names)
    before = frontier.hypervolume(base.estimate, objectives)
    drop = functional(
        change, points, shared, lambda draws: frontier.hypervolumes(base.estimate + draws, objectives) - before
    )
    objective_floors = [floors[points[0].size, name] for name in names]
    measured = [each for each in objective_floors if each is not None]
    floor = None
    if len(measured) == len(objective_floors):
        floor = hypervolume_floor(base.estimate, [each.value for each in measured], objectives, seed)
    box = float(
        np.prod(
            [
                abs(o.best - reference)
                for o, reference in zip(objectives, frontier.reference_point(objectives), strict=True)
            ]
        )
    )
    value, spread = drop.value, _spread(drop)
    return Difference(
        method=name,
        label=display_name(name),
        size=points[0].size,
        objective=HYPERVOLUME,
        direction="maximize",
        seeds=max(len(point.cells) for point in points),
        n=len(points),
        baseline=before,
        run=before + value,
        difference=value,
        **interval(value, spread, (-box, box)),
        p=p_value(value, spread),
        p_holm=None,
        floor=floor,
        floor_from=", ".join(sorted({each.source for each in measured})) if floor is not None else "unknown",
        scope="checkpoints" if change.method is None else "method",
        command=_worst_cell(points, objectives, floors, paired),
    )


def _spread(drop: Functional) -> Spread | None:
    """Error over seeds and prompts on however few degrees of freedom, of the prompts alone where there is one seed."""
    return (total_error(drop.part, drop.noise) or drop.checkpoints) if varies(drop.draws) else None


def _added(base: Replicates, change: Replicates) -> Replicates:
    return replace(
        change,
        estimate=base.estimate + change.estimate,
        checkpoints=base.checkpoints + change.checkpoints,
        method=None if change.method is None else base.method + change.method,
    )


def _worst_cell(
    points: list[Point], objectives: list[Objective], floors: dict[tuple[str, str], Floor | None], paired: Pairing
) -> str:
    """Command of the cell that lost most, in noise floors, on any objective."""
    losses: dict[str, float] = {}
    for objective in objectives:
        grid, sign = paired.difference[objective.name], -1 if objective.direction == "maximize" else 1
        floor = floors[points[0].size, objective.name]
        for row in grid.rows([cell for point in points for cell in point.cells]):
            loss = sign * grid.mean[row] / ((floor and floor.value) or 1.0)
            losses[grid.cells[row]] = max(loss, losses.get(grid.cells[row], -np.inf))
    return paired.commands[max(losses, key=losses.__getitem__)]


def _members(
    points: list[Point], base: Replicates, change: Replicates, objectives: list[Objective]
) -> list[Membership]:
    ids, names = [point.id for point in points], [objective.name for objective in objectives]
    if not ids:
        return []
    base, change = base.select(ids, names), change.select(ids, names)
    run = _added(base, change)
    was, now = (frontier.non_dominated(side.estimate, objectives) for side in (base, run))
    draws = [np.array([frontier.non_dominated(draw, objectives) for draw in side.best]) for side in (base, run)]
    left = (draws[0] & ~draws[1]).mean(0)
    return [
        Membership(
            point.label,
            point.size,
            bool(was[i]),
            bool(now[i]),
            float(draws[0][:, i].mean()),
            float(draws[1][:, i].mean()),
            float(left[i]),
        )
        for i, point in enumerate(points)
        if was[i] != now[i]
    ]
