"""The tracker ``wandb``: Weights & Biases, offline unless ``WANDB_MODE`` says otherwise; one run for each cell."""

from __future__ import annotations

import os

from harness.run.trackers import TrackedRun, register


@register("wandb", package="wandb")
def log(run: TrackedRun) -> None:
    """Write runs of one group, which ``wandb sync`` uploads."""
    import wandb

    def begin(name: str, settings: dict[str, object]) -> wandb.Run:
        return wandb.init(
            project=run.name.replace("/", "-"),
            group=run.folder.name,
            name=name,
            config=settings,
            dir=run.place("wandb"),
            mode=os.environ.get("WANDB_MODE", "offline"),
            reinit="finish_previous",
            settings=wandb.Settings(silent=True, console="off"),
        )

    for cell in run.cells:
        with begin(cell.name, dict(cell.settings)) as logged:
            for step, metrics in cell.curves.items():
                logged.log({f"training/{metric}": value for metric, value in metrics.items()}, step=step)
            logged.summary.update({f"scores/{objective}": value for objective, value in cell.scores.items()})
    with begin("frontier", {}) as logged:
        for name, table in run.tables.items():
            logged.log({f"tables/{name}": wandb.Table(dataframe=table.astype(str))})
        for name, file in run.figures.items():
            logged.log({f"figures/{name}": wandb.Image(str(file))})
