"""The tracker ``mlflow``: an SQLite file in the run's folder, or the server that ``MLFLOW_TRACKING_URI`` names."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from harness.run.trackers import TrackedCell, TrackedRun, register

if TYPE_CHECKING:
    from mlflow import MlflowClient


@register("mlflow", package="mlflow")
def log(run: TrackedRun) -> None:
    """Log one run of MLflow for each cell, and one for the frontier, in an experiment of the run's name."""
    from mlflow import MlflowClient

    folder = run.place("mlflow").resolve()
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    client = MlflowClient(uri or f"sqlite:///{folder / 'mlflow.db'}")
    existing = client.get_experiment_by_name(run.name)
    place = None if uri else (folder / "artifacts").as_uri()
    experiment = existing.experiment_id if existing else client.create_experiment(run.name, artifact_location=place)
    for cell in run.cells:
        identity = client.create_run(experiment, run_name=cell.name).info.run_id
        _log_cell(client, identity, cell)
        client.set_terminated(identity)
    identity = client.create_run(experiment, run_name="frontier").info.run_id
    for name, table in run.tables.items():
        client.log_text(identity, table.to_csv(index=False), f"tables/{name}.csv")
    for file in run.figures.values():
        client.log_artifact(identity, str(file), "figures")
    client.set_terminated(identity)


def _log_cell(client: MlflowClient, identity: str, cell: TrackedCell) -> None:
    from mlflow.entities import Metric, Param

    now = int(time.time() * 1000)
    points = [
        (f"training/{metric}", value, step)
        for step, metrics in cell.curves.items()
        for metric, value in metrics.items()
    ] + [(f"scores/{objective}", value, cell.last_step) for objective, value in cell.scores.items()]
    metrics = [Metric(name, value, now, step) for name, value, step in points]
    for start in range(0, len(metrics), 1000):  # the most that MLflow takes at once
        client.log_batch(identity, metrics=metrics[start : start + 1000])
    client.log_batch(identity, params=[Param(name, str(value)) for name, value in cell.settings.items()])
