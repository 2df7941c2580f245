"""Time of the verbs ``plan`` and ``status`` on many cells: ``python -m tests.performance.plan_size [CELLS]``."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
import time
from pathlib import Path

from harness.cli.show import show_plan
from harness.cli.status import show_status
from harness.plan.cells import Plan, make_plan
from harness.run.earlier import noted_stages, stage_names
from harness.spec.loading import load
from harness.store.store import Store
from harness.store.usage import STAGES

SETTINGS = 25
"""Settings of the shipped bench, its base included, at one size."""


def plan_of(cells: int) -> Plan:
    """The plan of the bench at one size with as many seeds as give so many cells."""
    seeds = ",".join(map(str, range(cells // SETTINGS)))
    return make_plan(load("bench", [f"seeds=[{seeds}]"]))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.plan_size", description=__doc__)
    parser.add_argument("cells", type=int, nargs="?", default=10_000)
    cells = parser.parse_args().cells
    plan_of(SETTINGS)  # imports, and the fingerprint of the code
    with tempfile.TemporaryDirectory() as folder:
        store, out = Store(Path(folder) / "store"), Path(folder) / "out"
        started = time.process_time()
        plan = plan_of(cells)
        _ = [stage.key for stage in plan.stages.values()]
        made = time.process_time()
        with contextlib.redirect_stdout(io.StringIO()):
            show_plan(plan, store, out)
            shown = time.process_time()
            out.mkdir()
            (out / STAGES).write_text(json.dumps(stage_names(plan)), encoding="utf-8")
            noted = time.process_time()
            load("bench")
            show_status(noted_stages(out), store, out)
        print(f"{len(plan.cells):,} cells, {len(plan.stages):,} stages, seconds of processor time:")
        print(f"plan {shown - started:.1f} ({made - started:.1f} to make it); status {time.process_time() - noted:.1f}")


if __name__ == "__main__":
    main()
