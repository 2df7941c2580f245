"""Time of one policy of `bench`: `python -m tests.performance.bench_cells`.

Makes the artifacts that a DPO policy of the bench needs, from a base that was pretrained on a small corpus, since the weights do not
change the time. Then the stages `align` and `score_exact` run again and again in this process, on one thread. Shown is the least
processor time of each, which bears other work on the machine best, and the shares of the profiler's self time by kind of operation.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Annotated

import torch
import typer

from harness.plan.cells import make_plan
from harness.run.job import Job, _resolve, execute
from harness.spec.loading import load
from harness.store.store import Store
from tests.performance.profile_step import shares

OVERRIDES = ("seeds=[0]", "data.corpus=3200", "data.labelled=500", "methods={dpo: {sweep: {beta: [0.5]}}}")
MEASURED = ("align", "score_exact")


def stage_run(job: Job, store: Store, out: Path) -> Callable[[], None]:
    """One run of a stage into a new folder."""
    folders = {name: _resolve(store, name, source) for name, source in job.inputs.items()}
    module = import_module(job.module)

    def run() -> None:
        module.run({**job.parameters, **job.settings}, folders, Path(tempfile.mkdtemp(dir=out)), None)

    return run


def main(times: Annotated[int, typer.Option(min=2, help="Runs of each stage; the first warms up.")] = 6) -> None:
    """Processor seconds of the training and the exact scoring of a policy of `bench`."""
    torch.set_num_threads(1)
    plan = make_plan(load("bench", OVERRIDES))
    (cell,) = (cell for cell in plan.cells if cell.trained)
    with tempfile.TemporaryDirectory() as folder:
        store, out = Store(Path(folder) / "store"), Path(folder)
        stages = plan.only([cell.cell]).stages.values()
        for stage in stages:
            execute(Job.of(stage, store))
        for stage in stages:
            if stage.kind in MEASURED:
                run = stage_run(Job.of(stage, store), store, out)
                seconds = [_processor_seconds(run) for _ in range(times)][1:]
                print(f"{stage.kind}: {min(seconds):.2f} s of one core, least of {len(seconds)}")
                for kind, share in shares(run).items():
                    print(f"{100 * share:5.1f} %  {kind}")


def _processor_seconds(run: Callable[[], None]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


if __name__ == "__main__":
    typer.run(main)
