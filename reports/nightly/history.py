"""History of nights: one row per difference and night, appended and never rewritten.

The table is a folder with one CSV file a night. A file appears by one rename, so a reader never sees half a
night and two writers cannot lose each other's rows.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from reports.nightly.differences import Difference, Level
from reports.nightly.drift import ALARM, NIGHTS_NEEDED, find_steps
from reports.nightly.gate import Drift, Gate
from reports.page.csv_files import from_text, write_csv
from reports.run_folder import Refused
from reports.statistics.resampling import generator
from reports.text import display_label
from trainers.files import replacing

KEY = ["method", "label", "size", "objective"]
COLUMNS = [
    "time", "run", "measurement", "baseline", "commit", "machine", *KEY, "direction", "seeds", "value", "difference",
    "se", "floor", "p_holm", "level",
]  # fmt: skip


def rows(result: Gate, when: datetime) -> pd.DataFrame:
    """This night's rows, with each difference's own level."""
    night = {
        "time": when.isoformat(timespec="seconds"),
        "run": result.run_id,
        "measurement": result.measurement,
        "baseline": result.baseline_id,
        "commit": result.commit,
        "machine": result.machine,
    }
    own = [*KEY, "direction", "seeds", "difference", "se", "floor", "p_holm"]
    records = [
        night | {name: getattr(row, name) for name in own} | {"value": row.run, "level": row.level.value}
        for row in result.differences
    ]
    return pd.DataFrame(records, columns=COLUMNS)


def append(folder: Path, night: pd.DataFrame) -> None:
    """Add a night. The same run judged again against the same baseline is no other night."""
    nights = read(folder)
    if night.empty or len(_others(nights, night)) < len(nights):
        return
    folder.mkdir(parents=True, exist_ok=True)
    stamp = "".join(letter for letter in night.time.iloc[0] if letter.isalnum())
    with replacing(folder / f"{stamp}-{night.run.iloc[0]}-{night.baseline.iloc[0]}.csv") as temporary:
        write_csv(night, temporary)


def read(folder: Path) -> pd.DataFrame:
    """All nights, the oldest first.

    Raises
    ------
    Refused
        Naming the file that is no table of a night.
    """
    parts = [_night(path) for path in sorted(folder.glob("[!.]*.csv"))]
    if not parts:
        return pd.DataFrame(columns=COLUMNS)
    nights = pd.concat(parts, ignore_index=True).sort_values("time", kind="stable", ignore_index=True)
    # nights written before labels held published names continue the same series
    return nights.assign(label=nights.label.map(display_label))


def _night(path: Path) -> pd.DataFrame:
    """The rows of one file."""
    try:
        night = pd.read_csv(path, dtype=dict.fromkeys(COLUMNS[:6] + KEY, str), encoding="utf-8")
        if lacking := [name for name in COLUMNS if name not in night]:
            raise ValueError(f"no column {lacking[0]!r}")
        numbers = ["seeds", "value", "difference", "se", "floor", "p_holm"]
        texts = {name: night[name].map(from_text) for name in KEY}
        return night.assign(**texts, **{name: pd.to_numeric(night[name]) for name in numbers})
    except (ValueError, OSError, OverflowError) as error:
        raise Refused(f"{path}: no table of a night: {' '.join(str(error).split())}") from None


def _others(nights: pd.DataFrame, tonight: pd.DataFrame) -> pd.DataFrame:
    same = (nights.run == tonight.run.iloc[0]) & (nights.baseline == tonight.baseline.iloc[0])
    return nights[~same]


def with_history(result: Gate, nights: pd.DataFrame, tonight: pd.DataFrame) -> Gate:
    """The verdict in the light of earlier nights: failures that must last, and steps."""
    earlier = _others(nights, tonight) if len(tonight) else nights
    earlier = earlier[earlier.baseline == result.baseline_id]
    patient = tuple(_patient(row, earlier, result.thresholds.nights_for(row.objective)) for row in result.differences)
    return replace(result, differences=patient, drift=tuple(_drift(earlier, tonight)))


def _patient(row: Difference, earlier: pd.DataFrame, needed: int) -> Difference:
    """A failure that has not lasted long enough is a warning."""
    if row.level is not Level.FAIL or needed <= 1:
        return row
    before = earlier[(earlier[KEY] == list(row.key)).all(axis=1)]
    lasted = 1
    for level in reversed(before.level.tolist()):
        if level != Level.FAIL:
            break
        lasted += 1
    if lasted >= needed:
        return replace(row, note=f"for {lasted} nights")
    return replace(row, level=Level.WARN, note=f"night {lasted} of {needed} before it fails")


def _drift(earlier: pd.DataFrame, tonight: pd.DataFrame) -> list[Drift]:
    """Steps since the baseline was blessed, on this machine.

    Nights that measured bit for bit what another one had are no further evidence and count once.
    """
    if tonight.empty:
        return []
    used = ["time", "run", "measurement", *KEY, "value"]
    earlier = earlier[earlier.machine == tonight.machine.iloc[0]]
    nights = pd.concat([earlier[used], tonight[used]], ignore_index=True) if len(earlier) else tonight
    nights = nights[nights.run.isin(nights.drop_duplicates("measurement").run)]
    order = nights.drop_duplicates("run")[["run", "time"]]
    if len(order) < NIGHTS_NEEDED:
        return []
    table = nights.pivot(index="run", columns=KEY, values="value").loc[order.run]
    tonight_keys = pd.MultiIndex.from_frame(tonight[KEY])
    table = table[[key for key in tonight_keys if key in table.columns]]
    sign = np.where(tonight.set_index(KEY).direction.loc[list(table.columns)] == "maximize", -1.0, 1.0)
    # A night without a value says nothing: at the mean it makes no step.
    values = table.fillna(table.mean()).to_numpy(float)
    start, p = find_steps(values * sign, generator(0, "drift"))
    times = order.time.tolist()
    return [
        Drift(
            key[1],
            key[2],
            key[3],
            times[first],
            float(values[:first, i].mean()),
            float(values[first:, i].mean()),
            float(p[i]),
        )
        for i, (key, first) in enumerate(zip(table.columns, start, strict=True))
        if p[i] <= ALARM
    ]
