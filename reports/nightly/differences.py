"""Every difference between a run and its baseline: the objectives of each point, item by item."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from itertools import product
from typing import TypedDict

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
    total_error,
)
from reports.statistics.seed_noise import Noise, seed_noise
from reports.statistics.variance import Parts, variance_parts
from reports.statistics.verdicts import BETTER, NOT_SEPARABLE, WORSE, reach

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
    variance between seeds, "checkpoints" where there is one seed. `detectable` is the smallest true loss that would fail with
    80 % probability, None where no loss that is possible would.
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
    df: float | None = None
    detectable: float | None = None

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
            return NOT_SEPARABLE
        return WORSE if self.loss > 0 else BETTER


@dataclass(frozen=True)
class Statistics:
    """Variance components and seed noise of all paired differences by (point, objective), and noise floors by (size,
    objective)."""

    parts: Parts
    noise: Noise
    floors: dict[tuple[str, str], Floor | None]


def statistics(paired: Pairing) -> Statistics:
    """Components, seed noise and noise floors of a pairing."""
    parts = variance_parts(paired.points, paired.difference)
    noise = seed_noise(paired.points, paired.difference, parts)
    return Statistics(parts, noise, _floors(paired, parts, noise))


def differences(paired: Pairing, statistics: Statistics) -> list[Difference]:
    """One difference for each point and objective that were compared."""
    return [
        _difference(point, name, paired, statistics)
        for name in paired.difference
        for point in paired.points
        if (point.id, name) in statistics.parts
    ]


def _floors(paired: Pairing, parts: Parts, noise: Noise) -> dict[tuple[str, str], Floor | None]:
    own = variance_parts(paired.points, paired.baseline)
    values = paired.items.assign(value=paired.items.value_baseline)
    floors = {}
    for name, size in product(paired.difference, paired.sizes):
        points = [point for point in paired.points if point.size == size and (point.id, name) in parts]
        cells = {cell for point in points for cell in point.cells}
        items = values[(values.objective == name) & values.cell.isin(cells)]
        spreads = [_spread(parts[point.id, name], noise.get((point.id, name))) for point in points]
        errors = [spread.se if spread else 0.0 for spread in spreads] if paired.difference[name].clusters else []
        floors[size, name] = noise_floor([own[point.id, name] for point in points], items, errors)
    return floors


def _spread(part: Components, noise: SeedNoise | None) -> Spread | None:
    """Standard error of a paired difference; of the checkpoints alone where there is one seed."""
    return total_error(part, noise) or checkpoints(part)


def _difference(point: Point, name: str, paired: Pairing, statistics: Statistics) -> Difference:
    grid, part = paired.difference[name], statistics.parts[point.id, name]
    floor = statistics.floors[point.size, name]
    rows = grid.rows(point.cells)
    spread = _spread(part, statistics.noise.get((point.id, name)))
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
        **interval(part.value, spread, reach(paired.baseline[name])),
        p=p_value(part.value, spread) if spread else _sign_test(grid, rows),
        p_holm=None,
        floor=floor.value if floor else None,
        floor_from=floor.source if floor else "unknown",
        scope="method" if part.n_seeds > 1 else "checkpoints",
        lost=lost,
        lost_difference=lost_difference,
        command=paired.commands[grid.cells[worst]],
    )


class Interval(TypedDict):
    """Those fields of a `Difference` that say how sure it is."""

    se: float | None
    low: float | None
    high: float | None
    df: float | None


def interval(value: float, spread: Spread | None, bounds: tuple[float, float]) -> Interval:
    """Standard error, degrees of freedom and the t interval within what is possible."""
    if spread is None:
        return {"se": None, "low": None, "high": None, "df": None}
    half = float(stats.t.ppf(0.5 + LEVEL / 2, spread.df)) * spread.se
    low, high = max(value - half, bounds[0]), min(value + half, bounds[1])
    return {"se": spread.se, "low": low, "high": high, "df": spread.df}


def _sign_test(grid: Grid, rows: list[int]) -> float | None:
    """Two-sided p where all prompts differ by the very same amount, which leaves no standard error."""
    prompts = len(grid.clusters)
    return float(2.0 ** (1 - prompts)) if prompts and grid.mean[rows].mean() != 0 else None
