"""The verbs gate, bless and figures through the real command line, without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
import yaml

from harness.cli.main import Exit
from tests.paths import ROOT
from tests.reports import nights
from tests.reports.nights import night, prompts


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with runs of every kind, a blessed baseline, and a torch that cannot be imported."""
    folder = tmp_path_factory.mktemp("nightly")
    (folder / "torch.py").write_text("raise ImportError('the gate must not need torch')")
    random = np.random.default_rng(0)
    effects = prompts(random)
    good = night(random, effects)
    failed = replace(good, cells=good.cells.assign(status=["failed", *["ok"] * 5]))
    worse = night(random, effects, {("dpo", "win_rate"): -0.3})
    runs = {
        "both": replace(worse, cells=worse.cells.assign(status=np.where(worse.cells.method == "sft", "failed", "ok"))),
        "good": good,
        "worse": worse,
        "failed": failed,
        "nothing": replace(good, cells=good.cells.assign(status="failed"), items=good.items.iloc[:0]),
    }
    for name, records in runs.items():
        nights.write(folder / "runs" / name, records)
    nights.write(
        folder / "runs" / "judged", good, nights.EXPERIMENT | {"judge": {"kind": "reward_model", "model": "m"}}
    )
    (folder / "runs" / "crashed").mkdir()
    (folder / "runs" / "crashed" / "experiment.resolved.yaml").write_text("name: made")
    nights.write(folder / "runs" / "damaged", good)
    (folder / "runs" / "damaged" / "records" / "items.parquet").write_bytes(b"PAR1 but not for long")
    assert prefrontier(folder, "bless", "runs/good", "--baseline", "base", "--reason", "the first").returncode == 0
    return folder


def prefrontier(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    command = [sys.executable, "-m", "harness", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, cwd=folder, env=environment)


@pytest.mark.parametrize(
    ("run", "exit_code", "first_line", "verdict"),
    [
        ("good", Exit.OK, "measured 6 of 6 cells", "# OK:"),
        ("worse", Exit.REGRESSION, "measured 6 of 6 cells", "# REGRESSION:"),
        ("failed", Exit.FAILED, "measured 5 of 6 cells", "# INCOMPLETE:"),
        ("nothing", Exit.NOTHING, "measured 0 of 6 cells", "# NOTHING MEASURED:"),
        ("crashed", Exit.NOTHING, "measured 0 of 6 cells", "# NOTHING MEASURED:"),
    ],
)
def test_the_exit_code_and_the_first_lines_say_how_it_went(place, run, exit_code, first_line, verdict):
    baseline_before = {path: path.read_bytes() for path in (place / "base" / "0001").rglob("*") if path.is_file()}
    result = prefrontier(place, "gate", f"runs/{run}", "--baseline", "base", "--history", f"history-{run}")
    assert result.returncode == exit_code, result.stdout + result.stderr
    lines = result.stdout.splitlines()
    assert lines[0] == first_line and lines[2].startswith(verdict)
    gate = place / "runs" / run / "gate"
    assert (gate / "summary.md").read_text() == result.stdout
    assert ElementTree.parse(gate / "junit.xml").getroot().tag == "testsuites"
    assert (gate / "differences.csv").is_file()
    assert baseline_before == {
        path: path.read_bytes() for path in (place / "base" / "0001").rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate", "runs/judged", "--baseline", "base"], "judge.kind is reward_model, in the baseline oracle"),
        (["gate", "runs/absent", "--baseline", "base"], "runs/absent: no run folder here or in runs/"),
        (["gate", "runs/good", "--baseline", "absent"], "absent: no baseline yet; look at a run's report"),
        (["gate", "runs/good", "--baseline", "base", "--warn", "3", "--fail", "2"], "0 <= warn <= fail"),
        (
            ["gate", "runs/good", "--baseline", "base", "--nights", "win_rate"],
            "--nights win_rate: write it as 3 or as objective=3",
        ),
        (
            ["gate", "runs/good", "--baseline", "base", "--nights", "win_rte=3"],
            "no objective 'win_rte'; did you mean 'win_rate'?",
        ),
        (["gate", "runs/damaged", "--baseline", "base"], "runs/damaged"),
        (["gate", "runs/good"], "Missing option '--baseline'"),
        (["bless", "runs/good", "--baseline", "base", "--reason", " "], "--reason is empty"),
        (["bless", "runs/failed", "--baseline", "base", "--reason", "why not"], "only 5 of 6 cells were measured"),
        (["figures", "absent", "--out", "figures"], "absent: no run folder here or in runs/"),
    ],
)
def test_mistakes_end_in_one_line_and_exit_code_4(place, arguments, message):
    result = prefrontier(place, *arguments)
    assert result.returncode == Exit.USAGE, result.stdout + result.stderr
    assert message in result.stderr and len(result.stderr.strip().splitlines()) == 1, result.stderr


def test_an_internal_error_is_not_a_regression(place):
    """A history that cannot be written: a traceback, and an exit code of its own."""
    (place / "file").touch()
    result = prefrontier(place, "gate", "runs/good", "--baseline", "base", "--history", "file/history")
    assert result.returncode == Exit.FAILED and "Traceback" in result.stderr


def test_the_history_lies_beside_the_baseline_by_default(place):
    nights.write(place / "runs" / "again", night(np.random.default_rng(9), prompts(np.random.default_rng(8))))
    assert prefrontier(place, "gate", "runs/again", "--baseline", "base").returncode in (Exit.OK, Exit.REGRESSION)
    assert len(list((place / "base" / "history").glob("*.csv"))) >= 1
    assert prefrontier(place, "gate", "runs/good", "--baseline", "base").returncode == Exit.OK


def test_a_run_may_be_the_baseline_of_another(place):
    result = prefrontier(
        place, "gate", "runs/worse", "--baseline", "runs/good", "--history", "history-other", "--nights", "2"
    )
    assert result.returncode == Exit.OK and "night 1 of 2 before it fails" in result.stdout


def test_figures_for_a_paper_from_a_run_folder_or_its_experiments_name(place):
    pytest.importorskip("reports.page.paper", reason="the paper figures are not there yet")
    for name in ("runs/good", "good"):
        result = prefrontier(place, "figures", name, "--style", "acl", "--column", "double", "--out", "figures")
        assert result.returncode == 0, result.stderr
        written = [Path(line) for line in result.stdout.splitlines()]
        assert {path.suffix for path in written} >= {".pdf", ".pgf", ".csv"}
        assert all((place / path).is_file() for path in written)


def test_the_workflow_to_copy_runs_the_tox_environment_and_keeps_what_it_writes():
    workflow = yaml.safe_load((ROOT / "docs" / "examples" / "nightly.yml").read_text())
    steps = str(workflow["jobs"]["gate"]["steps"])
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")
    commands = tox["testenv:nightly"]["commands"]
    assert "tox -e nightly" in steps
    assert "--out runs/nightly" in commands and "'path': 'runs/nightly'" in steps
    assert "baselines/nightly}" in commands and "baselines/nightly/history" in steps


def test_a_failed_cell_hides_no_regression_and_a_regression_no_failed_cell(place):
    """Exit 1 comes before 3, and the summary names both."""
    outcome = prefrontier(place, "gate", "runs/both", "--baseline", "base")
    assert outcome.returncode == Exit.REGRESSION
    assert "measured 4 of 6 cells" in outcome.stdout and "sft" in outcome.stdout
    tox = ConfigParser()
    tox.read(ROOT / "tox.ini")
    _, run, gate = tox["testenv:nightly"]["commands"].strip().splitlines()
    assert run.startswith("- prefrontier run") and gate.startswith("prefrontier gate")
    assert "ignore_errors" not in tox["testenv:nightly"], "tox would end with the run's code"


def test_a_run_is_verified_by_its_name_and_against_figures_of_another(place):
    stored = prefrontier(place, "verify", "good", "--write")
    assert (stored.returncode, stored.stdout) == (Exit.OK, "docs/figures/good.csv\n"), stored.stderr
    same = prefrontier(place, "verify", "runs/good")
    assert same.returncode == Exit.OK and "6 of 6 cells have the stored figures to the last digit" in same.stdout
    table = pd.read_csv(place / "docs" / "figures" / "good.csv")
    table.assign(value=table.value + 1000 * (table.setting == "DPO")).to_csv(place / "other.csv", index=False)
    other = prefrontier(place, "verify", "good", "--stored", "other.csv")
    assert other.returncode == Exit.REGRESSION
    assert "apart: DPO, " in other.stdout and "apart: SFT, " not in other.stdout
    crashed = prefrontier(place, "verify", "crashed")
    assert crashed.returncode == Exit.USAGE and "runs/crashed: no records here" in crashed.stderr
