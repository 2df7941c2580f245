"""Tables of docs/statistics.md: coverage, errors and power by world, before and after a change of the rules.

`python -m tests.performance.calibration.tables` prints them from `before.csv` and `after.csv`, which are summaries that the
calibration writes (`FOLDER/calibration.csv`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).parent


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """Share or mean of every figure in every world, with its Monte-Carlo standard error."""
    rows = []
    for (world, figure), group in frame.groupby(["world", "figure"], sort=False):
        mean = group["sum"].sum() / group["count"].sum()
        deviations = group["sum"] - mean * group["count"]
        error = float(np.sqrt((deviations**2).sum()) / group["count"].sum())
        rows.append((world, figure, float(mean), error, group["index"].nunique()))
    return pd.DataFrame(rows, columns=["world", "figure", "value", "error", "replications"])


@dataclass(frozen=True)
class Measured:
    """A share or mean with its Monte-Carlo standard error, from so many replications."""

    value: float
    error: float
    replications: int

    def __str__(self) -> str:
        places = 3 if self.error >= 0.001 else 4
        if self.value in (0.0, 1.0):
            return "0" if self.value == 0 else "1.00"
        return f"{_digits(self.value, places)} ± {_digits(self.error, places)}"


def _digits(value: float, places: int) -> str:
    """A share without its zero before the point.

    Examples
    --------
    >>> _digits(0.0504, 3), _digits(-0.0021, 3), _digits(-0.00001, 3)
    ('.050', '−.002', '.000')
    """
    return f"{round(value, places) + 0.0:.{places}f}".replace("0.", ".", 1).replace("-", "−")


Results = Mapping[tuple[str, str], Measured]
"""What was measured, by (world, figure)."""


@dataclass(frozen=True)
class Section:
    """One table: a row for each world that has the first of the figures.

    `figures` maps what a column is headed to what is counted; worlds of the section have `prefix` before their names.
    """

    figures: Mapping[str, str]
    prefix: str = ""


SECTIONS = (
    Section(
        {
            "checkpoints covered": "checkpoints covered",
            "method covered": "method covered, calm",
            "calm settings with an interval": "method shown, calm",
            "unstable: covered or no interval": "method covered or not shown, unstable",
        }
    ),
    Section(
        {
            "a best point not bold": "a best point not bold",
            "hypervolumes: false": "false verdict, hypervolume",
            "wrong direction": "wrong direction, hypervolume",
            "found": "power, hypervolume",
            "points: false": "false verdict, points",
            "wrong direction ": "wrong direction, points",
            "found ": "power, points",
        }
    ),
    Section(
        {
            "gap covered": "gap covered",
            "false": "false verdict, gap",
            "wrong direction": "wrong direction, gap",
            "found": "power, gap",
            "a worse above a not separable": "a worse above a not separable gap",
        },
        "gaps: ",
    ),
    Section({"bias of the chosen setting": "bias of the chosen"}, "choice: "),
    Section(
        {
            "nights that failed": "failed nights",
            "nights with a warning": "nights with a warning",
            "p below 0.05": "p below 0.05",
        },
        "gate, ",
    ),
)


def read(path: Path) -> dict[tuple[str, str], Measured]:
    """A summary of the calibration."""
    frame = pd.read_csv(path)
    columns = (frame.world, frame.figure, frame.value, frame.error, frame.replications)
    return {(world, name): Measured(v, e, int(n)) for world, name, v, e, n in zip(*columns, strict=True)}


def table(section: Section, before: Results, after: Results) -> Iterator[str]:
    """Rows of one table in Markdown, in the order of `after`."""
    first = next(iter(section.figures.values()))
    yield f"| world | n before, after | {' | '.join(name.strip() for name in section.figures)} |"
    yield "|---" * (2 + len(section.figures)) + "|"
    for world in (world for world, figure in after if figure == first and world.startswith(section.prefix)):
        counts = [str(each[world, first].replications) if (world, first) in each else "0" for each in (before, after)]
        cells = [_cell(before.get((world, figure)), after.get((world, figure))) for figure in section.figures.values()]
        yield f"| {world.removeprefix(section.prefix)} | {', '.join(counts)} | {' | '.join(cells)} |"


def _cell(before: Measured | None, after: Measured | None) -> str:
    """Before and after; one number is of after, and a dash stands for what was not measured again."""
    if before is None:
        return "" if after is None else str(after)
    return f"{before} → {after or '–'}"


def tables() -> list[str]:
    """All tables of the stored summaries."""
    before, after = (read(HERE / name) for name in ("before.csv", "after.csv"))
    return ["\n".join(table(section, before, after)) for section in SECTIONS]


if __name__ == "__main__":
    print("\n\n".join(tables()))
