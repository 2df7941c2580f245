"""Frontiers chosen on the validation prompts and measured on the test prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness.records import Objective
from reports.frontiers import frontier
from reports.frontiers.methods import volume, volume_estimate
from reports.frontiers.selection import Halves, chosen_by_others, halves, means, optimism
from reports.grids import Grid, Point, Study
from reports.results import HeldOut
from reports.statistics.functionals import Frame, frame
from reports.statistics.resampling import Replicates, replicate
from reports.statistics.seed_noise import Noise, seed_noise
from reports.statistics.variance import Parts, variance_parts


@dataclass(frozen=True)
class Reported:
    """Grids and variances that chosen points are reported from: the test prompts, or all where nothing is chosen."""

    sides: Halves | None
    grids: dict[str, Grid]
    parts: Parts
    noise: Noise
    draws: Replicates | None

    @property
    def choosing(self) -> dict[str, Grid]:
        """The grids that choose: the validation prompts, or all where nothing is split."""
        return self.sides.validation if self.sides else self.grids

    def representative(self, points: Sequence[Point], objectives: Sequence[Objective]) -> Point:
        """A method's point for comparisons, chosen on the validation prompts and for each seed by the other seeds."""
        return chosen_by_others(points, self.choosing, objectives)


def reported(
    study: Study,
    points: list[Point],
    objectives: Sequence[Objective],
    parts: Parts,
    noise: Noise,
    draws: Replicates | None,
    seed: int,
) -> Reported:
    """Split the prompts where a method has several points to choose from, and enough prompts to split.

    The test prompts are redrawn as often as `draws` were; not at all without these.
    """
    several = len(points) > len({(point.size, point.method) for point in points})
    sides = halves({objective.name: study.grids[objective.name] for objective in objectives}) if several else None
    if sides is None or not all(_everywhere(point, sides) for point in points):
        return Reported(None, study.grids, parts, noise, draws)
    test_parts = variance_parts(points, sides.test)
    test_noise = seed_noise(points, sides.test, test_parts)
    again = None
    if draws is not None:
        again = replicate(points, list(sides.test.values()), test_parts, test_noise, len(draws.checkpoints), seed)
    return Reported(sides, sides.test, test_parts, test_noise, again)


def _everywhere(point: Point, sides: Halves) -> bool:
    return all(grid.rows(point.cells) for side in (sides.validation, sides.test) for grid in side.values())


def held_out(study: Study, points: list[Point], objectives: Sequence[Objective], source: Reported) -> list[HeldOut]:
    """Per size the frontier of all methods, then each method's own; empty where prompts were not split."""
    if source.sides is None or source.draws is None or any(o.reference_point is None for o in objectives):
        return []
    # the seeds that chose are measured, so that only prompts are redrawn
    draws = replace(source.draws, method=None)
    results = []
    for size in study.sizes:
        here = [point for point in points if point.size == size]
        shared = frame(here, [source.grids[objective.name] for objective in objectives], {})
        groups: dict[str | None, list[Point]] = {None: here}
        groups |= {name: [p for p in here if p.method == name] for name in study.methods}
        results += [
            _held_out(size, name, group, objectives, source.sides, draws, shared)
            for name, group in groups.items()
            if len(group) > 1
        ]
    return results


def _held_out(
    size: str,
    method: str | None,
    points: list[Point],
    objectives: Sequence[Objective],
    sides: Halves,
    draws: Replicates,
    shared: Frame,
) -> HeldOut:
    values, tested = (means(points, grids, objectives) for grids in (sides.validation, sides.test))
    inside = frontier.non_dominated(values, objectives)
    still = frontier.non_dominated(tested, objectives)
    chosen = [point for point, on in zip(points, inside, strict=True) if on]
    return HeldOut(
        size=size,
        method=method,
        chosen=tuple(point.id for point in chosen),
        of=len(points),
        still=int(np.sum(inside & still)),
        validation=frontier.hypervolume(values[inside], objectives),
        test=volume_estimate(volume(draws, chosen, objectives, shared), objectives),
        optimism=optimism(points, sides, objectives),
    )
