"""Every difference between a run and its baseline: the objectives of each point, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product

from scipy import stats

from reports.grids import Grid, Point
from reports.nightly.noise import Floor, noise_floor
from reports.nightly.pairing import Pairing
from reports.statistics.estimates import (
    LEVEL,
    Components,
    SeedNoise,
    Spread,
    checkpoints,
    p_value,
    seed_and_prompt_error,
)
from reports.statistics.variance import Noise, Parts, seed_noise, variance_parts

ALPHA = 0.05


class Level(StrEnum):
    """How bad one difference is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNMEASURED = "unmeasured"


@dataclass(frozen=True)
class Difference:
    """One objective of one point, or one hypervolume: run − baseline.

    `loss` is the difference in the bad direction, `floor` the noise floor and `floors` their quotient. `p` is
    two-sided, `p_holm` adjusted over everything compared. `scope` is "method" where the standard error holds the
    variance between seeds, "checkpoints" where there is one seed.
    """

    method: str
    label: str
    size: str
    objective: str
    direction: str
    seeds: int
    n: int
    baseline: float
    run: float
    difference: float
    se: float | None
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None
    floor: float | None
    floor_from: str
    scope: str
    lost: int = 0
    lost_difference: float | None = None
    level: Level = Level.OK
    note: str = ""
    command: str = ""

    @property
    def loss(self) -> float:
        # + 0.0: no loss is 0, not −0
        return (-self.difference if self.direction == "maximize" else self.difference) + 0.0

    @property
    def floors(self) -> float | None:
        return self.loss / self.floor if self.floor else None

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What identifies the same difference on another night."""
        return self.method, self.label, self.size, self.objective

    @property
    def word(self) -> str:
        if self.p_holm is None or self.p_holm >= ALPHA or self.loss == 0:
            return "tied"
        return "worse" if self.loss > 0 else "better"


@dataclass(frozen=True)
class Statistics:
    """Variance components of all paired differences by (point, objective), seed noise by (size, method, objective), and
    noise floors by (size, objective)."""

    parts: Parts
    noise: Noise
    floors: dict[tuple[str, str], Floor | None]


def statistics(paired: Pairing) -> Statistics:
    """Components, seed noise and noise floors of a pairing."""
    parts = variance_parts(paired.points, paired.difference)
    noise = seed_noise(paired.points, paired.sizes, paired.difference, parts)
    return Statistics(parts, noise, _floors(paired, parts, noise))


def differences(paired: Pairing, found: Statistics) -> list[Difference]:
    """One difference for each point and objective that were compared."""
    return [
        _difference(point, name, paired, found)
        for name in paired.difference
        for point in paired.points
        if (point.id, name) in found.parts
    ]


def _floors(paired: Pairing, parts: Parts, noise: Noise) -> dict[tuple[str, str], Floor | None]:
    own = variance_parts(paired.points, paired.baseline)
    values = paired.items.assign(value=paired.items.value_baseline)
    floors = {}
    for name, size in product(paired.difference, paired.sizes):
        points = [point for point in paired.points if point.size == size and (point.id, name) in parts]
        cells = {cell for point in points for cell in point.cells}
        items = values[(values.objective == name) & values.cell.isin(cells)]
        spreads = [_spread(parts[point.id, name], noise.get((size, point.method, name))) for point in points]
        errors = [spread.se if spread else 0.0 for spread in spreads] if paired.difference[name].clusters else []
        floors[size, name] = noise_floor([own[point.id, name] for point in points], items, errors)
    return floors


def _spread(part: Components, noise: SeedNoise | None) -> Spread | None:
    """Standard error of a paired difference; of the checkpoints alone where there is one seed."""
    return seed_and_prompt_error(part, noise) or checkpoints(part)


def _difference(point: Point, name: str, paired: Pairing, found: Statistics) -> Difference:
    grid, part = paired.difference[name], found.parts[point.id, name]
    floor = found.floors[point.size, name]
    rows = grid.rows(point.cells)
    spread = _spread(part, found.noise.get((point.size, point.method, name)))
    lost, lost_difference = paired.lost.get((point.id, name), (0, None))
    sign = -1 if grid.objective.direction == "maximize" else 1
    worst = max(rows, key=lambda row: sign * grid.mean[row])
    return Difference(
        method=point.method,
        label=point.label,
        size=point.size,
        objective=name,
        direction=grid.objective.direction,
        seeds=len(rows),
        n=int(grid.count[rows].sum()) or len(rows),
        baseline=float(paired.baseline[name].mean[rows].mean()),
        run=float(paired.run[name].mean[rows].mean()),
        difference=part.value,
        **interval(part.value, spread),
        p=p_value(part.value, spread) if spread else _sign_test(grid, rows),
        p_holm=None,
        floor=floor.value if floor else None,
        floor_from=floor.source if floor else "unknown",
        scope="method" if part.n_seeds > 1 else "checkpoints",
        lost=lost,
        lost_difference=lost_difference,
        command=paired.commands[grid.cells[worst]],
    )


def interval(value: float, spread: Spread | None) -> dict[str, float | None]:
    """Standard error and the t interval, as fields of a `Difference`."""
    if spread is None:
        return {"se": None, "low": None, "high": None}
    half = float(stats.t.ppf(0.5 + LEVEL / 2, spread.df)) * spread.se
    return {"se": spread.se, "low": value - half, "high": value + half}


def _sign_test(grid: Grid, rows: list[int]) -> float | None:
    """Two-sided p where all prompts differ by the very same amount, which leaves no standard error."""
    prompts = len(grid.clusters)
    return float(2.0 ** (1 - prompts)) if prompts and grid.mean[rows].mean() != 0 else None
