"""Calibration of the report's statistics on worlds with a known truth: `python -m tests.performance.calibration`.

Worlds are drawn again and again and passed through the report's own analysis (`replications`). Replications are appended
to `FOLDER/replications.csv` piece by piece, so that an interrupted run continues where it stopped; `calibration.csv` and a
figure are made from them. The tables of docs/statistics.md are those of `python -m tests.performance.calibration.tables`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pandas as pd
import typer

from reports.text import plural
from tests.performance.calibration.replications import (
    choice_replication,
    gap_replication,
    gate_night,
    length_control_coverage,
    power,
    replication,
)
from tests.performance.calibration.tables import summary
from tests.performance.worlds import worlds
from tests.reports import nights

PIECE = 25
EFFECTS = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
GATES = {"gate, one seed": (1, 0.0), "gate, 2 seeds": (2, nights.SEED_SD), "gate, 5 seeds": (5, nights.SEED_SD)}


def main(
    replications: Annotated[int, typer.Argument(help="Worlds drawn per setting.")] = 1000,
    folder: Annotated[Path, typer.Argument(help="Where to write, and where an interrupted run continues.")] = Path(
        "calibration"
    ),
    only: Annotated[str, typer.Option(help="Only worlds with this in their name.")] = "",
    seconds: Annotated[float, typer.Option(help="Stop after so many seconds; a later run continues.")] = float("inf"),
) -> None:
    """Count how often the report's intervals contain the truth, and how often a null is called a difference."""
    import time

    folder.mkdir(parents=True, exist_ok=True)
    path, end = folder / "replications.csv", time.monotonic() + seconds
    done = pd.read_csv(path).groupby("world")["index"].nunique().to_dict() if path.is_file() else {}
    for name, one in _jobs().items():
        start = int(done.get(name, 0))
        if only not in name:
            continue
        for first in range(start, replications, PIECE):
            if time.monotonic() > end:
                break
            rows = [
                (name, index, figure, total, count)
                for index in range(first, min(first + PIECE, replications))
                for figure, (total, count) in one(index).items()
            ]
            piece = pd.DataFrame(rows, columns=["world", "index", "figure", "sum", "count"])
            piece.to_csv(path, mode="a", header=not path.is_file(), index=False)
    frame = summary(pd.read_csv(path))
    frame.to_csv(folder / "calibration.csv", index=False)
    draw(frame, folder / "calibration")
    print(frame.to_string(float_format=lambda value: f"{value:.4f}"))
    print(f"wrote {folder}/calibration.csv; {plural(len(frame), 'figure')}")


def _jobs() -> dict:
    """One function per world, from the number of a replication to its figures."""
    jobs = {name: lambda index, world=world: replication(world, index) for name, world in worlds().items()}
    jobs |= {
        f"gaps: {name}": lambda index, world=world: gap_replication(world, index)
        for name, world in worlds().items()
        if world.gaps is not None
    }
    jobs |= {
        f"choice: {name}": lambda index, world=world: choice_replication(world, index)
        for name, world in worlds().items()
        if name.startswith("choosing")
    }
    jobs |= {name: lambda index, at=at: gate_night(index, *at) for name, at in GATES.items()}
    for n in (60, 120, 240):
        jobs[f"power, {n} prompts"] = lambda index, n=n: {
            f"effect {at:g}": (share, 1) for at, share in power(EFFECTS, 1, n, seed=index).items()
        }
    jobs["length control"] = lambda index: {"covered": (length_control_coverage(1, seed=index), 1)}
    return jobs


def draw(frame: pd.DataFrame, stem: Path) -> None:
    """Coverage in every world, and power by effect."""
    import matplotlib
    from matplotlib.figure import Figure

    from reports.page.figures import SETTINGS, save

    with matplotlib.rc_context(SETTINGS):
        figure = Figure(figsize=(7, 4), layout="constrained")
        left, right = figure.subplots(1, 2)
        covered = frame[frame.figure.isin(["checkpoints covered", "method covered, calm", "gap covered"])]
        names = list(dict.fromkeys(covered.world))
        for figure_name, group in covered.groupby("figure", sort=False):
            left.plot(
                group.value, [names.index(world) for world in group.world], "o", ms=4, mfc="none", label=figure_name
            )
        left.set_yticks(range(len(names)), names)
        left.axvspan(0.93, 0.97, color="#009E73", alpha=0.12)
        left.set_xlabel("Share of 95 % intervals with the truth")
        left.legend()
        for world, group in frame[frame.world.str.startswith("power")].groupby("world", sort=False):
            right.plot([float(name.split()[1]) for name in group.figure], group.value, marker="o", ms=3, label=world)
        right.set_xlabel("True difference in win rate")
        right.set_ylabel("Called better")
        if right.lines:
            right.legend()
        save(figure, stem, ("pdf", "png"))


if __name__ == "__main__":
    typer.run(main)
