"""Trackers: the real libraries hold what was logged; a tracker that fails is told and ends nothing.

Tests of a library skip where it is not installed (`tox -e trackers` installs all).
"""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from harness.cli import main as cli
from harness.errors import UsageError
from harness.run import executors, trackers
from harness.run.trackers import TrackedRun, find_trackers, register, tracked_run
from reports.grids import study
from tests.documents import code
from tests.executors import in_process
from tests.reports import synthetic

METHODS = (synthetic.MadeMethod("sft", 0.18), synthetic.MadeMethod("upo", 0.01, (0.5, 1.0)))


@pytest.fixture(scope="module")
def records():
    return synthetic.make(METHODS, sizes=("tiny",), prompts=8, failed=("sft-tiny-s1",))


@pytest.fixture
def run(records, tmp_path) -> TrackedRun:
    """A run of five measured cells with one table and one figure."""
    from PIL import Image

    for folder in ("report/tables", "report/figures"):
        (tmp_path / folder).mkdir(parents=True)
    pd.DataFrame({"method": ["UPO"], "hypervolume": [0.25]}).to_csv(tmp_path / "report/tables/methods.csv", index=False)
    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "report/figures/frontier.png")
    return tracked_run("mine", records, tmp_path)


@pytest.fixture
def registry():
    """The registered trackers; what a test adds is taken out again."""
    before = trackers.trackers()
    yield trackers._trackers
    trackers._trackers.clear()
    trackers._trackers.update(before)


def curve(records, cell: str, metric: str) -> list[tuple[int, float]]:
    rows = records.curves[(records.curves.cell == cell) & (records.curves.metric == metric)]
    return sorted(zip(rows.step.tolist(), rows.value.tolist(), strict=True))


def metric_of(records) -> str:
    return str(records.curves.metric.iloc[0])


# What is logged


def test_every_measured_cell_is_logged_with_its_curves_and_the_means_of_the_report(run, records):
    assert [cell.name for cell in run.cells] == records.cells[records.cells.status == "ok"].cell.tolist()
    assert "sft-tiny-s1" not in {cell.name for cell in run.cells}
    grids, metric = study(records).grids, metric_of(records)
    for cell in run.cells:
        assert cell.scores == {name: grid.mean[grid.cells.index(cell.name)] for name, grid in grids.items()}
        points = [(step, metrics[metric]) for step, metrics in cell.curves.items() if metric in metrics]
        assert points == curve(records, cell.name, metric) and points
    assert [cell.settings["seed"] for cell in run.cells if cell.settings["method"] == "sft"] == [0]
    assert run.tables["methods"].hypervolume.tolist() == [0.25] and list(run.figures) == ["frontier"]


def test_settings_are_scalars(records, tmp_path):
    odd = records.cells.assign(parameters=json.dumps({"beta": 0.1, "layers": [1, 2], "none": None}))
    (first, *_) = tracked_run("mine", type(records)(**{**vars(records), "cells": odd}), tmp_path).cells
    assert {"beta": 0.1, "layers": "[1, 2]", "none": "null"}.items() <= first.settings.items()


# Names


def test_unknown_names_and_missing_packages_are_one_line(registry):
    with pytest.raises(UsageError, match="unknown tracker 'wandv'; did you mean 'wandb'"):
        find_trackers(["wandv"])
    register("odd", package="no_such_package")(lambda run: None)
    with pytest.raises(UsageError, match="the package 'no_such_package' is not installed; pip install"):
        find_trackers(["odd"])
    with pytest.raises(ValueError, match="tracker 'odd' is registered already"):
        register("odd", package="json")(lambda run: None)


def test_the_example_of_the_page_logs_every_cell(registry, run):
    exec(code("trackers.md"), {})
    find_trackers(["lines"])[0].log(run)
    lines = (run.folder / "trackers" / "lines" / "scores.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition(":")[0] for line in lines] == [cell.name for cell in run.cells]


# In a run


def test_a_tracker_that_fails_is_one_line_and_the_others_log(registry, tmp_path, monkeypatch, capsys):
    logged = []

    @register("broken", package="json")
    def broken(run):
        raise OSError("disk full\nsecond line")

    register("fine", package="json")(lambda run: logged.append(run))
    rows = [{"prompt": f"Question {n}?", "output": f"The answer is {n}, my friend."} for n in range(4)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    experiment = {
        "schema": 1, "name": "mine", "title": "Mine", "data": {"source": "prompts"}, "suites": ["style"],
        "reference_point": {"length": 100.0}, "methods": {"a": {"generations": str(tmp_path / "mine.jsonl")}},
    }  # fmt: skip
    (tmp_path / "mine.yaml").write_text(json.dumps(experiment))
    executors.executors()
    monkeypatch.setitem(executors._executors, "local", in_process)
    monkeypatch.setattr("reports.build.build", lambda folder: (folder / "report").mkdir())
    words = ["--out", tmp_path / "out", "--store", tmp_path / "store"]
    words += ["--tracker", "broken", "--tracker", "fine"]
    monkeypatch.setattr("sys.argv", ["prefrontier", "run", str(tmp_path / "mine.yaml"), *map(str, words)])
    with pytest.raises(SystemExit) as exit:
        cli.main()
    assert exit.value.code == 0
    said = capsys.readouterr().out
    assert said.count("tracker ") == 1 and "tracker broken failed (1 of 2): OSError: disk full\n" in said
    (run,) = logged
    assert run.name == "mine" and run.folder == tmp_path / "out"
    assert run.cells[0].scores["length"] == 6.0 and run.cells[0].curves == {}


# Libraries


def test_tensorboard_reads_back_what_was_logged(run, records):
    pytest.importorskip("tensorboard", reason="the package 'tensorboard' is not installed (tox -e trackers)")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    (tracker,) = find_trackers(["tensorboard"])
    for _ in range(2):  # a second run replaces the first one's files
        tracker.log(run)
    folder, metric = run.folder / "trackers" / "tensorboard", metric_of(records)
    assert {path.name for path in folder.iterdir()} == {cell.name for cell in run.cells} | {"frontier"}
    for cell in run.cells:
        events = EventAccumulator(str(folder / cell.name)).Reload()
        points = {event.step: event.value for event in events.Scalars(f"training/{metric}")}
        assert points == pytest.approx(dict(curve(records, cell.name, metric)), rel=1e-6)
        (score,) = events.Scalars("scores/win_rate")
        assert score.value == pytest.approx(cell.scores["win_rate"], rel=1e-6) and score.step == cell.last_step
    frontier = EventAccumulator(str(folder / "frontier")).Reload()
    assert frontier.Images("frontier")[0].width == 4
    assert b"hypervolume" in frontier.Tensors("methods/text_summary")[0].tensor_proto.string_val[0]


def test_mlflow_holds_what_was_logged(run, records, monkeypatch):
    pytest.importorskip("mlflow", reason="the package 'mlflow' is not installed (tox -e trackers)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    (tracker,) = find_trackers(["mlflow"])
    tracker.log(run)
    client = MlflowClient(f"sqlite:///{run.folder / 'trackers' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("mine").experiment_id
    logged = {each.info.run_name: each for each in client.search_runs([experiment])}
    assert logged.keys() == {cell.name for cell in run.cells} | {"frontier"}
    metric = metric_of(records)
    for cell in run.cells:
        one = logged[cell.name]
        assert one.data.metrics["scores/win_rate"] == cell.scores["win_rate"]
        history = client.get_metric_history(one.info.run_id, f"training/{metric}")
        assert [(point.step, point.value) for point in history] == curve(records, cell.name, metric)
        assert one.data.params["method"] == cell.settings["method"]
    names = {file.path for file in client.list_artifacts(logged["frontier"].info.run_id, "figures")}
    assert names == {"figures/frontier.png"}


def test_wandb_writes_offline_runs(run, records, monkeypatch):
    pytest.importorskip("wandb", reason="the package 'wandb' is not installed (tox -e trackers)")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    (tracker,) = find_trackers(["wandb"])
    tracker.log(run)
    folders = list((run.folder / "trackers" / "wandb" / "wandb").glob("offline-run-*"))
    assert len(folders) == len(run.cells) + 1
    assert any(b"scores/win_rate" in written(folder) for folder in folders)


def written(folder: Path) -> bytes:
    (file,) = folder.glob("*.wandb")
    return file.read_bytes()
