"""Processor time and memory of a large report: ``python -m tests.performance.report_size [POINTS [ITEMS [RESAMPLES]]]``.

The records are made in a process of their own, so that neither figure holds their making. The defaults are 5 million rows.
"""

from __future__ import annotations

import multiprocessing
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


def write(folder: Path, points: int, items: int) -> None:
    """Write records of this size."""
    large(points, items).write(folder)


def main(
    points: Annotated[int, typer.Argument()] = 150,
    items: Annotated[int, typer.Argument(help="Per point and objective.")] = 11_112,
    resamples: Annotated[int, typer.Argument(help="Joint draws of prompts and seeds.")] = 2000,
) -> None:
    """Measure a report of made-up records."""
    with tempfile.TemporaryDirectory() as folder:
        maker = multiprocessing.get_context("spawn").Process(
            target=write, args=(Path(folder) / "records", points, items)
        )
        maker.start()
        maker.join()
        started = time.process_time()
        build(Path(folder), resamples=resamples)
        seconds = time.process_time() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rows = points * items * len(synthetic.OBJECTIVES)
    print(
        f"{points} points x {items:,} items x {len(synthetic.OBJECTIVES)} objectives = {rows:,} rows, {resamples} resamples: "
        f"{seconds:.1f} s of processor time, peak {peak:.2f} GiB"
    )


if __name__ == "__main__":
    typer.run(main)
