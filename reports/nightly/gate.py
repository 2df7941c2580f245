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

from reports.nightly.differences import ALPHA, Difference, Level, Statistics, differences, statistics
from reports.nightly.frontier_changes import Membership, frontier_changes
from reports.nightly.measurement_check import changes, refuse_unlike
from reports.nightly.noise import Floor, detectable
from reports.nightly.pairing import Pairing, Unmeasured, pair
from reports.run_folder import Stored, read
from reports.statistics.simultaneous import holm


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
    """What a night could have seen of one objective at one size."""

    size: str
    objective: str
    floor: Floor | None
    detectable: float | None


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
    found = statistics(paired)
    volumes, membership, notes = frontier_changes(paired, found, resamples, seed)
    rows = _judged([*differences(paired, found), *volumes], thresholds)
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
        sensitivity=tuple(_sensitivity(paired, found, rows, thresholds)),
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


def _sensitivity(
    paired: Pairing, found: Statistics, rows: list[Difference], thresholds: Thresholds
) -> list[Sensitivity]:
    """What could have been seen, told on the safe side.

    Two equal runs say nothing about the next, so the error is at least the noise floor; and the degrees of freedom
    are those of the seeds, or of the prompts where there is one seed. Scores that never vary show no noise at all,
    which is not to say that any loss would be seen.
    """
    sensitivity = []
    for (size, name), floor in found.floors.items():
        errors = [row.se for row in rows if (row.size, row.objective) == (size, name) and row.se is not None]
        seeds = [noise.df for (at, _, of), noise in found.noise.items() if (at, of) == (size, name)]
        df, least = min(seeds, default=len(paired.difference[name].clusters) - 1), None
        error = max(floor.value if floor else 0.0, float(np.sqrt(np.mean(np.square(errors)))) if errors else 0.0)
        if floor is not None and df > 0 and error > 0:
            least = detectable(floor.value, error, df, thresholds.fail, ALPHA, len(rows))
        sensitivity.append(Sensitivity(size, name, floor, least))
    return sensitivity


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
