"""Command line from start to report, with real stages on a miniature experiment.

Contract: a finished run has every output; a second run computes nothing; two fresh runs, and a killed and
resumed one, give identical item rows; a failing cell is recorded and the others go on; exit codes tell which.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from harness.cli.main import main
from harness.plan.cells import make_plan
from harness.spec.loading import load
from tests.paths import ROOT, TOY


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "harness", *map(str, arguments)]


def prefrontier(*arguments: object, **options) -> subprocess.CompletedProcess:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=400, **options)


def items(folder: Path) -> pd.DataFrame:
    return pd.read_parquet(folder / "records" / "items.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run and its store."""
    folder = tmp_path_factory.mktemp("toy")
    result = prefrontier("run", TOY, "--out", folder / "run", "--store", folder / "store", "--workers", 1)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder / "run", folder / "store", result


def test_a_run_writes_everything(finished):
    run, _, result = finished
    for name in ("experiment.resolved.yaml", "manifest.json", "log.jsonl", "report/index.html", "report/report.md"):
        assert (run / name).is_file(), name
    for suffix in ("pdf", "svg", "png"):
        assert list((run / "report" / "figures").glob(f"*.{suffix}")), suffix
    assert list((run / "report" / "data").glob("*.csv"))
    cells = pd.read_parquet(run / "records" / "cells.parquet")
    assert (cells.status == "ok").all()
    assert set(cells.method) == {"base", "sft", "dpo", "kto", "kto_sft", "modpo", "upo"}
    assert f"measured {len(cells)} of {len(cells)} cells" in result.stdout
    assert str(run / "report" / "index.html") in result.stdout
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["libraries"]["torch"] and manifest["cells"].keys() == set(cells.cell)


def test_every_cell_is_scored_on_the_same_items(finished):
    frame = items(finished[0])
    sets = frame.groupby(["objective", "cell"])["item"].agg(lambda column: tuple(sorted(column)))
    for objective, per_cell in sets.groupby(level="objective"):
        assert per_cell.nunique() == 1, objective
    assert {"win_rate", "toxicity", "readability", "accuracy"} <= set(frame.objective)
    assert not frame.duplicated(["cell", "objective", "item"]).any()


def test_a_second_run_computes_nothing_and_changes_no_row(finished):
    run, store, _ = finished
    before = {path: path.stat().st_mtime_ns for path in (store / "artifacts").rglob("*") if path.is_file()}
    again = run.with_name("again")
    result = prefrontier("run", TOY, "--out", again, "--store", store)
    assert result.returncode == 0, result.stderr
    assert before == {path: path.stat().st_mtime_ns for path in (store / "artifacts").rglob("*") if path.is_file()}
    pd.testing.assert_frame_equal(items(run), items(again))


def test_a_killed_run_goes_on_and_ends_with_the_same_rows(finished, tmp_path):
    """SIGKILL of the whole process group in the middle, then the same command again, on a fresh store."""
    run, _, _ = finished
    arguments = ("run", TOY, "--out", tmp_path / "run", "--store", tmp_path / "store")
    process = subprocess.Popen(command(*arguments), stdout=subprocess.DEVNULL, start_new_session=True)
    log, total = tmp_path / "run" / "log.jsonl", len(json.loads((run / "manifest.json").read_text())["cells"])
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if log.exists() and log.read_text().count('"event": "finished"') > total:
            break
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "run" / "report").exists()
    done = len(list((tmp_path / "store" / "artifacts").iterdir()))
    assert done > total
    result = prefrontier(*arguments)
    assert result.returncode == 0, result.stderr
    pd.testing.assert_frame_equal(items(run), items(tmp_path / "run"))


def test_a_failing_cell_is_recorded_and_the_others_go_on(finished, tmp_path):
    """A learning rate at which the loss is not a number."""
    override = "methods.dpo={training: {learning_rate: 1.0e+12, warmup_steps: 0}}"
    result = prefrontier("run", TOY, "--set", override, "--out", tmp_path / "run", "--store", finished[1])
    assert result.returncode == 3, result.stdout + result.stderr
    cells = pd.read_parquet(tmp_path / "run" / "records" / "cells.parquet").set_index("method")
    assert cells.loc["dpo", "status"] == "failed"
    assert (cells.drop("dpo").status == "ok").all()
    assert "align" in result.stdout and "failed" in result.stdout
    status = prefrontier("status", TOY, "--set", override, "--out", tmp_path / "run", "--store", finished[1])
    assert "failed: align" in status.stdout
    alone = ("--cell", cells.loc["dpo", "cell"], "--out", tmp_path / "alone", "--store", finished[1])
    assert prefrontier("run", TOY, "--set", override, *alone).returncode == 5  # nothing was measured


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_end_writes_what_it_has(finished, tmp_path, sent):
    """Code 2 within seconds and a partial report, but never in the place of a finished run's results."""
    run, store, _ = finished
    signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
    shutil.copytree(store, tmp_path / "store")
    shutil.copytree(run, tmp_path / "earlier")
    scores = [stage for stage in make_plan(load(TOY)).stages.values() if stage.kind == "score_style"]
    shutil.rmtree(tmp_path / "store" / "artifacts" / scores[0].key)
    for out in ("run", "earlier"):
        logs = tmp_path / out / "logs"
        shutil.rmtree(logs, ignore_errors=True)
        arguments = ["run", TOY, "--out", tmp_path / out, "--store", tmp_path / "store", "--workers", 1]
        process = subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not list(logs.glob("*")):
            time.sleep(0.02)
        process.send_signal(sent)
        asked = time.monotonic()
        _, told = process.communicate(timeout=60)
        assert process.returncode == 2 and time.monotonic() - asked < 30
        assert told.strip() == "prefrontier: interrupted; the same command goes on from here"
    assert json.loads((tmp_path / "run" / "manifest.json").read_text())["interrupted"]
    assert set(pd.read_parquet(tmp_path / "run" / "records" / "cells.parquet").status) == {"missing"}
    for name in ("manifest.json", "report/index.html", "records/items.parquet"):
        assert (tmp_path / "earlier" / name).read_bytes() == (run / name).read_bytes()


def test_an_unknown_cell_is_a_usage_error(tmp_path):
    result = prefrontier("run", TOY, "--out", tmp_path / "run", "--store", tmp_path / "store", "--cell", "0" * 12)
    assert result.returncode == 4 and "no such cell" in result.stderr


def test_one_cell_is_reproduced_by_its_own_command(finished, tmp_path):
    run, store, _ = finished
    cells = pd.read_parquet(run / "records" / "cells.parquet")
    wanted = cells[cells.method == "upo"].iloc[0]
    assert wanted.command == f"prefrontier run {TOY} --cell {wanted.cell}"
    result = prefrontier("run", TOY, "--cell", wanted.cell, "--out", tmp_path / "one", "--store", store)
    assert result.returncode == 0, result.stderr
    rows = items(run)
    # The alignment tax is a difference from the base, which the cell's own command does not run.
    expected = rows[(rows.cell == wanted.cell) & (rows.objective != "alignment_tax")].reset_index(drop=True)
    pd.testing.assert_frame_equal(items(tmp_path / "one"), expected)


def test_the_report_is_written_again_without_torch(finished, tmp_path):
    run, _, _ = finished
    (tmp_path / "torch.py").write_text("raise ImportError('the report must not need torch')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    result = prefrontier("report", run, env=environment)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "bnech"], "did you mean 'bench'?"),
        (["rnu", "bench"], "No such command 'rnu'. Did you mean 'run'?"),
        (
            ["plan", TOY, "--set", "methods.dpo.parameters={beat: 1}"],
            "methods.dpo: method 'dpo' has no hyperparameter 'beat'",
        ),
        (["plan", TOY, "--set", "methods.pdo={}"], "unknown method 'pdo'; did you mean"),
        (["plan", TOY, "--set", "rewards={toxicty: 1.0}"], "unknown objective 'toxicty'; did you mean 'toxicity'?"),
        (["plan", TOY, "--set", "suites=[win_rte]"], "unknown suite 'win_rte'; did you mean 'win_rate'?"),
        (
            ["plan", TOY, "--set", "training.learning_rte=1"],
            "unknown setting 'learning_rte'; did you mean 'learning_rate'?",
        ),
        (["plan", TOY, "--set", "data.world={sede: 1}"], "unknown setting 'sede'; did you mean 'seed'?"),
        (["plan", TOY, "--set", "training.sharding=true"], "training: sharding needs several processes"),
        (["plan", "hh", "--set", "data.path=absent.jsonl"], "absent.jsonl: no such file"),
        (["plan", TOY, "--set", "toxicity.labelled=absent.csv"], "absent.csv: no such file"),
        (["run", "hh", "--offline"], "Anthropic/hh-rlhf is not on this machine and the hub cannot be reached"),
        (["report", "absent"], "absent: no run folder here or in runs/"),
        (["run", TOY, "--out", "/proc/run"], "cannot be written"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_4(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["prefrontier", *arguments])
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err.strip()
    assert ended.value.code == 4, told
    assert message in told
    assert len(told.splitlines()) == 1, told


def test_an_interrupted_command_ends_with_code_2_and_says_how_to_go_on(monkeypatch, capsys):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr("harness.cli.show.show_library", interrupted)
    monkeypatch.setattr(sys, "argv", ["prefrontier", "ls"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr().err.strip() == "prefrontier: interrupted; the same command goes on from here"


def test_ray_without_its_package_is_one_line_and_nothing_is_made(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    store = tmp_path / "store"
    arguments = ["run", TOY, "--executor", "ray", "--out", str(tmp_path / "run"), "--store", str(store)]
    monkeypatch.setattr(sys, "argv", ["prefrontier", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().err.strip().splitlines()
    assert ended.value.code == 4 and told == [
        "prefrontier: --executor ray needs the extra: pip install 'prefrontier[ray]'"
    ]
    assert not (store / "artifacts").exists()


def test_help_is_quick():
    started = time.perf_counter()
    assert prefrontier("--help").returncode == 0
    assert time.perf_counter() - started < 0.5


def test_plan_and_ls_name_what_there_is(finished):
    _, store, _ = finished
    plan = prefrontier("plan", TOY, "--store", store)
    assert "align" in plan.stdout and "trials per method" in plan.stdout and "budgets differ" in plan.stdout
    listing = prefrontier("ls")
    assert "bench" in listing.stdout and "upo" in listing.stdout
    cells = prefrontier("ls", TOY, "--store", store)
    folders = [Path(line.split()[-1]) for line in cells.stdout.splitlines()]
    assert folders and all(folder.is_relative_to(store) and (folder / "config.json").is_file() for folder in folders)
