"""Build time of a large report: `python -m tests.performance.report_size [POINTS [ITEMS [RESAMPLES]]]`.

1,000 points × 1,000 items × 3 objectives with 2,000 resamples should stay under 60 s and 2 GB on two cores.
"""

from __future__ import annotations

import resource
import tempfile
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from harness.records import Cell, Records
from reports.build import build
from tests.reports import synthetic


def large(points: int, items: int, methods: int = 10, seed: int = 0) -> Records:
    """Records of this size, made by columns rather than row by row."""
    random = np.random.default_rng(seed)
    cells = [
        Cell(
            f"c{i:05}",
            f"c{i:05}",
            f"m{i % methods}",
            f"M{i % methods} w={i // methods}",
            "tiny",
            0,
            {"w": i},
            "w",
            float(i),
            command=f"run c{i:05}",
        )
        for i in range(points)
    ]
    empty = Records.build(objectives=synthetic.OBJECTIVES, cells=cells)
    names = np.array([cell.cell for cell in cells], dtype=object)
    prompts = np.array([f"p{i}" for i in range(items)], dtype=object)
    frames = []
    for objective in synthetic.OBJECTIVES:
        centre = random.uniform(0.3, 0.7, points)
        value = random.beta(8 * centre[:, None], 8 * (1 - centre[:, None]), (points, items))
        frames.append(
            pd.DataFrame(
                {
                    "objective": objective.name,
                    "item": np.tile(prompts, points),
                    "cluster": np.tile(prompts, points),
                    "value": value.ravel(),
                    "status": "ok",
                    "trial": 0,
                    "cell": np.repeat(names, items),
                    "detail": "{}",
                }
            )
        )
    return Records(**{**vars(empty), "items": pd.concat(frames, ignore_index=True)})


def main(
    points: Annotated[int, typer.Argument()] = 1000,
    items: Annotated[int, typer.Argument(help="Per point and objective.")] = 1000,
    resamples: Annotated[int, typer.Argument(help="Joint draws of prompts and seeds.")] = 2000,
) -> None:
    """Time a report of made-up records, and say how much memory it took."""
    with tempfile.TemporaryDirectory() as folder:
        large(points, items).write(Path(folder) / "records")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = time.perf_counter()
        build(Path(folder), resamples=resamples)
        seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{points} points x {items} items x 3 objectives, {resamples} resamples: {seconds:.1f} s, peak {peak / 2**20:.2f} GiB (making the records: {before / 2**20:.2f})"
    )


if __name__ == "__main__":
    typer.run(main)
