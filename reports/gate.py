"""The nightly verdict: is a run worse than its baseline by more than noise?

Only stored scores are read. Every point's objectives and every method's hypervolume are compared with the
baseline's on the same prompts, items and seeds; all p-values are adjusted together. Something that was not
measured is never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
from scipy import stats

from harness.records import Objective
from reports import frontier
from reports.comparable import changes, refuse_unlike
from reports.estimates import LEVEL, Components, Spread, checkpoints, components, method, p_value, pool
from reports.noise import Floor, detectable, hypervolume_floor, noise_floor
from reports.pairing import Pairing, Unmeasured, pair
from reports.resampling import Replicates, functional, replicate
from reports.stored import read
from reports.study import Grid, Point
from reports.verdicts import holm

ALPHA = 0.05
FRONTIER_ROLES = ("user", "designer")
HYPERVOLUME = "hypervolume"
ALL_METHODS = "all methods"
CHANGED = 0.95


class Level(StrEnum):
    """How bad one difference is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNMEASURED = "unmeasured"


class Verdict(StrEnum):
    """How the run did, worst first."""

    REGRESSION = "regression"
    NOTHING = "nothing measured"
    INCOMPLETE = "incomplete"
    WARNING = "ok with warnings"
    OK = "ok"


@dataclass(frozen=True)
class Thresholds:
    """Losses, in noise floors, from which a difference warns or fails; and for how many nights it must fail.

    `nights` maps an objective to its number of nights, ``""`` is for all others.
    """

    warn: float = 1.0
    fail: float = 2.0
    nights: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.warn <= self.fail:
            raise ValueError(f"the thresholds need 0 <= warn <= fail, not warn {self.warn:g} and fail {self.fail:g}")

    def nights_for(self, objective: str) -> int:
        return self.nights.get(objective, self.nights.get("", 1))


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
        return -self.difference if self.direction == "maximize" else self.difference

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
class Sensitivity:
    """What a night could have seen of one objective at one size."""

    size: str
    objective: str
    floor: Floor | None
    detectable: float | None


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


@dataclass(frozen=True)
class Drift:
    """A step in a series of nights. `since` is the first night after it."""

    label: str
    size: str
    objective: str
    since: str
    before: float
    after: float
    p: float


@dataclass(frozen=True)
class Gate:
    """The verdict of one night and everything it rests on."""

    run: Path
    baseline: Path
    thresholds: Thresholds
    planned: tuple[str, ...]
    measured: int
    unmeasured: tuple[Unmeasured, ...]
    new: tuple[str, ...]
    differences: tuple[Difference, ...]
    sensitivity: tuple[Sensitivity, ...]
    membership: tuple[Membership, ...]
    changes: tuple[str, ...]
    notes: tuple[str, ...]
    measurement: str
    run_id: str
    baseline_id: str
    machine: str
    commit: str
    drift: tuple[Drift, ...] = ()

    def at(self, level: Level) -> list[Difference]:
        """Differences of one level, worst first."""
        found = [row for row in self.differences if row.level is level]
        return sorted(found, key=lambda row: -(row.floors if row.floors is not None else np.inf))

    @property
    def tests(self) -> int:
        return sum(row.p is not None for row in self.differences)

    @property
    def verdict(self) -> Verdict:
        if self.at(Level.FAIL):
            return Verdict.REGRESSION
        if not self.differences:
            return Verdict.NOTHING
        if self.unmeasured or self.at(Level.UNMEASURED):
            return Verdict.INCOMPLETE
        left = [member for member in self.membership if member.level is Level.WARN]
        return Verdict.WARNING if self.at(Level.WARN) or left or self.drift or self.new else Verdict.OK

    @property
    def command(self) -> str:
        """The smallest command that makes the worst of this night again; empty where nothing is wrong."""
        for level in (Level.FAIL, Level.UNMEASURED, Level.WARN):
            if level is Level.UNMEASURED and self.unmeasured:
                return self.unmeasured[0].command
            if found := self.at(level):
                return found[0].command
        return ""


def gate(
    run_dir: Path, baseline_dir: Path, thresholds: Thresholds = Thresholds(), resamples: int = 2000, seed: int = 0
) -> Gate:
    """Compare a run with its baseline.

    Parameters
    ----------
    run_dir, baseline_dir : Path
        Folders with `records/`, `experiment.resolved.yaml` and `manifest.json`.
    thresholds : Thresholds
    resamples, seed : int
        Joint draws for hypervolumes and membership, and the root of their random streams.

    Raises
    ------
    Refused
        When the runs were not measured alike, naming the field.
    """
    run, baseline = read(run_dir), read(baseline_dir)
    refuse_unlike(run, baseline)
    paired = pair(run.records, baseline.records)
    parts = _parts(paired, paired.difference)
    noise = _noise(paired, parts)
    floors = _floors(paired, parts, noise)
    means = [
        _mean(point, name, paired, part, noise[point.size, name], floors[point.size, name])
        for (point_id, name), part in parts.items()
        for point in paired.points
        if point.id == point_id
    ]
    volumes, membership, notes = _frontiers(paired, parts, noise, floors, resamples, seed)
    rows = _judged([*means, *volumes], thresholds)
    manifest = run.manifest
    return Gate(
        run=run.folder,
        baseline=baseline.folder,
        thresholds=thresholds,
        planned=paired.planned,
        measured=paired.measured,
        unmeasured=paired.unmeasured,
        new=paired.new,
        differences=tuple(rows),
        sensitivity=tuple(_sensitivity(rows, floors, thresholds)),
        membership=tuple(membership),
        changes=tuple(changes(run, baseline)),
        notes=tuple([*notes, *_seed_note(paired)]),
        measurement=paired.measurement,
        run_id=run.id,
        baseline_id=baseline.id,
        machine=", ".join(str(manifest.get(name, "unknown")) for name in ("platform", "cpus")),
        commit=str(manifest.get("commit") or "unknown"),
    )


def _parts(paired: Pairing, grids: dict[str, Grid]) -> dict[tuple[str, str], Components]:
    parts = {}
    for name, grid in grids.items():
        for point in paired.points:
            rows = grid.rows(point.cells)
            if rows:
                influence = grid.influence(rows) if grid.clusters else np.zeros((len(rows), 0))
                parts[point.id, name] = components(grid.mean[rows], influence)
    return parts


def _noise(paired: Pairing, parts: dict) -> dict:
    """Variance between seeds, pooled over the points of one size."""
    noise = {}
    for name in paired.difference:
        for size in paired.sizes:
            known = [point for point in paired.points if point.size == size and (point.id, name) in parts]
            noise[size, name] = pool([parts[point.id, name] for point in known], [point.method for point in known])
    return noise


def _floors(paired: Pairing, parts: dict, noise: dict) -> dict[tuple[str, str], Floor | None]:
    own = _parts(paired, paired.baseline)
    values = paired.items.assign(value=paired.items.value_baseline)
    floors = {}
    for size, name in noise:
        points = [point for point in paired.points if point.size == size and (point.id, name) in parts]
        cells = {cell for point in points for cell in point.cells}
        items = values[(values.objective == name) & values.cell.isin(cells)]
        spreads = [_spread(parts[point.id, name], noise[size, name]) for point in points]
        errors = [spread.se if spread else 0.0 for spread in spreads] if paired.difference[name].clusters else []
        floors[size, name] = noise_floor([own[point.id, name] for point in points], items, errors)
    return floors


def _spread(part: Components, noise) -> Spread | None:
    return method(part, noise) or checkpoints(part)


def _mean(point: Point, name: str, paired: Pairing, part: Components, noise, floor: Floor | None) -> Difference:
    grid = paired.difference[name]
    rows = grid.rows(point.cells)
    spread = _spread(part, noise)
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
        **_interval(part.value, spread),
        p=p_value(part.value, spread) if spread else _sign_test(grid, rows),
        p_holm=None,
        floor=floor.value if floor else None,
        floor_from=floor.source if floor else "unknown",
        scope="method" if part.n_seeds > 1 else "checkpoints",
        lost=lost,
        lost_difference=lost_difference,
        command=paired.commands[grid.cells[worst]],
    )


def _interval(value: float, spread: Spread | None) -> dict[str, float | None]:
    if spread is None:
        return {"se": None, "low": None, "high": None}
    half = float(stats.t.ppf(0.5 + LEVEL / 2, spread.df)) * spread.se
    return {"se": spread.se, "low": value - half, "high": value + half}


def _sign_test(grid: Grid, rows: list[int]) -> float | None:
    """Two-sided p where all prompts differ by the very same amount, which leaves no standard error."""
    prompts = len(grid.clusters)
    return float(2.0 ** (1 - prompts)) if prompts and grid.mean[rows].mean() != 0 else None


def _frontiers(paired: Pairing, parts: dict, noise: dict, floors: dict, resamples: int, seed: int):
    """Hypervolumes per size and method, and membership of the non-dominated set, from joint draws.

    The baseline's draws B and the difference's draws D share every prompt's and seed's weight, so B + D is the
    run under the same draw and what both runs share cancels.
    """
    objectives = [grid.objective for grid in paired.baseline.values() if grid.objective.role in FRONTIER_ROLES]
    unstated = [objective.name for objective in objectives if objective.reference_point is None]
    if len(objectives) < 2 or unstated:
        why = f"no reference point is stated for {', '.join(unstated)}" if unstated else "it needs two objectives"
        return [], [], [f"No frontier was compared: {why}."]
    names = [objective.name for objective in objectives]
    points = [point for point in paired.points if all((point.id, name) in parts for name in names)]
    if not points:
        return [], [], []
    base_parts = _parts(paired, paired.baseline)
    common = {"resamples": resamples, "seed": seed}
    base = replicate(points, [paired.baseline[n] for n in names], base_parts, _noise(paired, base_parts), **common)
    change = replicate(points, [paired.difference[n] for n in names], parts, noise, **common)
    rows, members = [], []
    for size in paired.sizes:
        here = [point for point in points if point.size == size]
        for name in dict.fromkeys([*(point.method for point in here), ALL_METHODS]):
            mine = [point for point in here if name in (point.method, ALL_METHODS)]
            if mine:
                rows.append(_volume(name, mine, base, change, objectives, floors, paired, seed))
        members += _members(here, base, change, objectives)
    return rows, members, []


def _volume(name, points, base: Replicates, change: Replicates, objectives, floors, paired: Pairing, seed) -> Difference:
    ids, names = [point.id for point in points], [objective.name for objective in objectives]
    base, change = base.select(ids, names), change.select(ids, names)
    before = functional(base, lambda draws: frontier.hypervolumes(draws, objectives))
    after = functional(_added(base, change), lambda draws: frontier.hypervolumes(draws, objectives))
    drop = after - before
    known = [floors[points[0].size, name] for name in names]
    floor = None
    if all(known):
        floor = hypervolume_floor(base.estimate, [each.value for each in known], objectives, seed)
    value, spread = drop.value, drop.spread
    return Difference(
        method=name,
        label=name,
        size=points[0].size,
        objective=HYPERVOLUME,
        direction="maximize",
        seeds=max(len(point.cells) for point in points),
        n=len(points),
        baseline=before.value,
        run=after.value,
        difference=value,
        **_interval(value, spread),
        p=p_value(value, spread),
        p_holm=None,
        floor=floor,
        floor_from=", ".join(sorted({each.source for each in known})) if floor is not None else "unknown",
        scope="checkpoints" if change.method is None else "method",
        command=_worst_cell(points, objectives, floors, paired),
    )


def _added(base: Replicates, change: Replicates) -> Replicates:
    return replace(
        change,
        estimate=base.estimate + change.estimate,
        checkpoints=base.checkpoints + change.checkpoints,
        method=None if change.method is None else base.method + change.method,
    )


def _worst_cell(points, objectives: list[Objective], floors: dict, paired: Pairing) -> str:
    """Command of the cell that lost most, in noise floors, on any objective."""
    losses = {}
    for objective in objectives:
        grid, sign = paired.difference[objective.name], -1 if objective.direction == "maximize" else 1
        floor = floors[points[0].size, objective.name]
        for row in grid.rows([cell for point in points for cell in point.cells]):
            loss = sign * grid.mean[row] / ((floor and floor.value) or 1.0)
            losses[grid.cells[row]] = max(loss, losses.get(grid.cells[row], -np.inf))
    return paired.commands[max(losses, key=losses.__getitem__)]


def _members(points, base: Replicates, change: Replicates, objectives) -> list[Membership]:
    ids, names = [point.id for point in points], [objective.name for objective in objectives]
    if not ids:
        return []
    base, change = base.select(ids, names), change.select(ids, names)
    run = _added(base, change)
    was, now = (frontier.non_dominated(side.estimate, objectives) for side in (base, run))
    draws = [np.array([frontier.non_dominated(draw, objectives) for draw in side.best]) for side in (base, run)]
    left = (draws[0] & ~draws[1]).mean(0)
    return [
        Membership(point.label, point.size, bool(was[i]), bool(now[i]), float(draws[0][:, i].mean()), float(draws[1][:, i].mean()), float(left[i]))
        for i, point in enumerate(points)
        if was[i] != now[i]
    ]


def _judged(rows: list[Difference], thresholds: Thresholds) -> list[Difference]:
    """Adjust all p-values together, then give each difference its level."""
    tested = [index for index, row in enumerate(rows) if row.p is not None]
    adjusted = dict(zip(tested, holm([rows[index].p for index in tested]), strict=True))
    return [_level(replace(row, p_holm=adjusted.get(index)), thresholds) for index, row in enumerate(rows)]


def _level(row: Difference, thresholds: Thresholds) -> Difference:
    """Fail: worse after Holm's adjustment and by `fail` noise floors. Warn: worse unadjusted and by `warn`."""
    floor = row.floor or 0.0
    if row.loss > 0 and row.word == "worse" and row.loss >= thresholds.fail * floor:
        return replace(row, level=Level.FAIL)
    if row.lost and _loss(row, row.lost_difference) >= max(thresholds.fail * floor, np.finfo(float).tiny):
        note = f"{row.lost} items that the baseline has were not measured: they could hide a regression"
        return replace(row, level=Level.UNMEASURED, note=note)
    if row.loss > 0 and row.p is None:
        return replace(row, level=Level.WARN, note="one figure: nothing to test it by")
    if row.loss > 0 and row.p < ALPHA and row.loss >= thresholds.warn * floor:
        return replace(row, level=Level.WARN)
    note = "significant, but inside the noise floor" if row.word == "worse" else ""
    return replace(row, note=note)


def _loss(row: Difference, difference: float) -> float:
    return -difference if row.direction == "maximize" else difference


def _sensitivity(rows: list[Difference], floors: dict, thresholds: Thresholds) -> list[Sensitivity]:
    tests = len(rows)
    found = []
    for (size, name), floor in floors.items():
        errors = [row.se or 0.0 for row in rows if (row.size, row.objective) == (size, name)]
        least = detectable(floor.value, errors, thresholds.fail, ALPHA, tests) if floor else None
        found.append(Sensitivity(size, name, floor, least))
    return found


def _seed_note(paired: Pairing) -> list[str]:
    if max((len(point.cells) for point in paired.points), default=0) > 1:
        return []
    return ["One seed: the verdict is about these checkpoints. Whether the method got worse cannot be told from one seed."] if paired.points else []
