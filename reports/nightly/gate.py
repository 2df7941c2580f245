"""Nightly verdict on whether a run is worse than its baseline by more than noise.

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

from reports.nightly.differences import ALPHA, Difference, Level, Statistics, differences, statistics
from reports.nightly.frontier_changes import HYPERVOLUME, Membership, frontier_changes
from reports.nightly.measurement_check import changes, refuse_unlike
from reports.nightly.noise import Floor, detectable
from reports.nightly.pairing import Pairing, Unmeasured, pair
from reports.run_folder import Stored, read
from reports.statistics.simultaneous import holm
from reports.statistics.verdicts import WORSE

WARN_ALPHA = 0.08
"""Level of a warning, two-sided and adjusted like a failure: at most 4 % of nights warn of a loss that is none."""


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
class Sensitivity:
    """What a night could have seen of one objective at one size.

    `detectable` and `smallest` are the largest and the smallest loss among its rows that fails with 80 % probability; of `rows`
    rows, `blind` could not have failed by any loss that is possible.
    """

    size: str
    objective: str
    floor: Floor | None
    detectable: float | None
    smallest: float | None = None
    blind: int = 0
    rows: int = 0


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
        rows = [row for row in self.differences if row.level is level]
        return sorted(rows, key=lambda row: -(row.floors if row.floors is not None else np.inf))

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
            if rows := self.at(level):
                return rows[0].command
        return ""


def gate(
    run_dir: Path, baseline_dir: Path, thresholds: Thresholds = Thresholds(), resamples: int = 2000, seed: int = 0
) -> Gate:
    """Compare a run's folder with a baseline's; see `judge`."""
    return judge(read(run_dir), read(baseline_dir), thresholds, resamples, seed)


def judge(
    run: Stored, baseline: Stored, thresholds: Thresholds = Thresholds(), resamples: int = 2000, seed: int = 0
) -> Gate:
    """Compare a run with its baseline.

    Parameters
    ----------
    run, baseline : Stored
    thresholds : Thresholds
    resamples, seed : int
        Joint draws for hypervolumes and membership, and the root of their random streams.

    Raises
    ------
    Refused
        When the runs were not measured alike, naming the field.
    """
    if len(run.records.cells):
        refuse_unlike(run, baseline)
    paired = pair(run.records, baseline.records)
    pair_statistics = statistics(paired)
    volumes, membership, notes = frontier_changes(paired, pair_statistics, resamples, seed)
    rows = _judged(_with_detectable([*differences(paired, pair_statistics), *volumes], paired, thresholds), thresholds)
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
        sensitivity=tuple(_sensitivity(paired, pair_statistics, rows)),
        membership=tuple(membership),
        changes=tuple(changes(run, baseline)),
        notes=(*notes, *_notes(paired, rows)),
        measurement=paired.measurement,
        run_id=run.id,
        baseline_id=baseline.id,
        machine=", ".join(str(manifest.get(name, "unknown")) for name in ("platform", "cpus")),
        commit=str(manifest.get("commit") or "unknown"),
    )


def _judged(rows: list[Difference], thresholds: Thresholds) -> list[Difference]:
    """Adjust all p-values together, then give each difference its level."""
    tested = {index: row.p for index, row in enumerate(rows) if row.p is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [_level(replace(row, p_holm=adjusted.get(index)), thresholds) for index, row in enumerate(rows)]


def _level(row: Difference, thresholds: Thresholds) -> Difference:
    """Fail: worse after Holm's adjustment and by `fail` noise floors. Warn: at the wider level and by `warn`."""
    floor = row.floor or 0.0
    if row.word == WORSE and row.loss >= thresholds.fail * floor:
        return replace(row, level=Level.FAIL)
    if (
        row.lost
        and row.lost_difference is not None
        and _loss(row, row.lost_difference) >= max(thresholds.fail * floor, np.finfo(float).tiny)
    ):
        note = f"{row.lost} items that the baseline has were not measured: they could hide a regression"
        return replace(row, level=Level.UNMEASURED, note=note)
    if row.loss > 0 and row.p is None:
        return replace(row, level=Level.WARN, note="one figure: nothing to test it by")
    if row.loss > 0 and row.p_holm is not None and row.p_holm < WARN_ALPHA and row.loss >= thresholds.warn * floor:
        return replace(row, level=Level.WARN)
    note = "significant, but inside the noise floor" if row.word == WORSE else ""
    return replace(row, note=note)


def _loss(row: Difference, difference: float) -> float:
    return -difference if row.direction == "maximize" else difference


def _with_detectable(rows: list[Difference], paired: Pairing, thresholds: Thresholds) -> list[Difference]:
    """Each difference with the smallest true loss that would fail, from its own error and degrees of freedom.

    Two equal runs say nothing about the next, so the error is at least the noise floor. Scores that never vary show no noise at
    all, which is not to say that any loss would be seen. A loss beyond what is possible is none.
    """
    tests = sum(row.p is not None for row in rows)
    return [replace(row, detectable=_detectable(row, paired, thresholds, tests)) for row in rows]


def _detectable(row: Difference, paired: Pairing, thresholds: Thresholds, tests: int) -> float | None:
    error = max(row.floor or 0.0, row.se or 0.0)
    if row.floor is None or error == 0:
        return None
    df = row.df if row.df is not None else _fallback_df(row, paired)
    if df <= 0:
        return None
    least = detectable(row.floor, error, df, thresholds.fail, ALPHA, tests)
    return least if least <= _possible_loss(row, paired) else None


def _fallback_df(row: Difference, paired: Pairing) -> float:
    """Degrees of freedom where tonight's difference is 0 everywhere: of the seeds, of the prompts with one seed."""
    if row.seeds > 1:
        return row.seeds - 1.0
    grid = paired.difference.get(row.objective)
    return float(len(grid.clusters) - 1 if grid is not None else 1)


def _possible_loss(row: Difference, paired: Pairing) -> float:
    """How much worse than the baseline a value can get."""
    if row.objective == HYPERVOLUME:
        return row.baseline
    return abs(row.baseline - paired.baseline[row.objective].objective.worst)


def _sensitivity(paired: Pairing, pair_statistics: Statistics, rows: list[Difference]) -> list[Sensitivity]:
    """What could have been seen, by size and objective: the smallest and the largest detectable loss of its rows."""
    places = list(pair_statistics.floors) + list(
        dict.fromkeys((r.size, HYPERVOLUME) for r in rows if r.objective == HYPERVOLUME)
    )
    sensitivity = []
    for size, name in places:
        mine = [row for row in rows if (row.size, row.objective) == (size, name)]
        seen = [row.detectable for row in mine if row.detectable is not None]
        blind = sum(row.detectable is None and row.floor is not None for row in mine)
        floor = pair_statistics.floors.get((size, name)) or _largest_floor(mine)
        sensitivity.append(
            Sensitivity(size, name, floor, max(seen, default=None), min(seen, default=None), blind, len(mine))
        )
    return sensitivity


def _largest_floor(rows: list[Difference]) -> Floor | None:
    floors = [Floor(row.floor, row.floor_from) for row in rows if row.floor is not None]
    return max(floors, key=lambda floor: floor.value, default=None)


def _notes(paired: Pairing, rows: list[Difference]) -> list[str]:
    notes = []
    if paired.points and max(len(point.cells) for point in paired.points) == 1:
        notes.append(
            "One seed: the verdict is about these checkpoints. Whether a method got worse cannot be told from one seed."
        )
    if rows and not any(row.difference for row in rows):
        notes.append(
            "Every score is the baseline's: the run is deterministic and nothing changed, or nothing was measured anew."
        )
    return notes
