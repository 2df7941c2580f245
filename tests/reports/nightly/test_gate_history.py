"""History, drift, baselines and the files a gate writes."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from reports.nightly import gate_files, history
from reports.nightly.baseline import bless, current
from reports.nightly.differences import Level
from reports.nightly.drift import ALARM, find_steps
from reports.nightly.gate import Thresholds, Verdict, gate, judge
from reports.run_folder import Refused, read
from tests.reports import nights
from tests.reports.nights import night, prompts, stored

START = datetime(2026, 1, 1, 3, tzinfo=UTC)


class Nights:
    """A baseline and one run after another against it, with a history on disk."""

    def __init__(self, folder, seed=0, **thresholds):
        self.random, self.folder = np.random.default_rng(seed), folder
        self.effects, self.count = prompts(self.random), 0
        self.baseline = stored(night(self.random, self.effects), "baseline")
        self.thresholds = Thresholds(**thresholds)

    def go_on(self, shift=None, records=None, name=None, **manifest):
        self.count += 1
        run = stored(records or night(self.random, self.effects, shift), name or f"run{self.count}", **manifest)
        result = judge(run, self.baseline, self.thresholds, resamples=20)
        tonight = history.rows(result, START + timedelta(days=self.count))
        result = history.with_history(result, history.read(self.folder), tonight)
        history.append(self.folder, tonight)
        return result


def test_every_gate_appends_one_row_per_difference_and_changes_none(tmp_path):
    series = Nights(tmp_path)
    first = series.go_on()
    written = {path: path.read_bytes() for path in tmp_path.iterdir()}
    series.go_on()
    table = history.read(tmp_path)
    assert len(table) == 2 * len(first.differences) == 20
    assert list(table.columns) == history.COLUMNS
    assert all(path.read_bytes() == content for path, content in written.items())
    assert not table.duplicated(["run", *history.KEY]).any() and table.time.is_monotonic_increasing


def test_the_same_run_judged_twice_is_one_night(tmp_path):
    series = Nights(tmp_path)
    records = night(series.random, series.effects)
    series.go_on(records=records, name="tonight")
    series.go_on(records=records, name="tonight")
    assert history.read(tmp_path).run.unique().tolist() == ["tonight"]


def test_a_failure_that_must_last_warns_first(tmp_path):
    worse = {("dpo", "win_rate"): -0.25}
    series = Nights(tmp_path, nights={"win_rate": 3, "": 1})
    found = [series.go_on(shift) for shift in (worse, worse, None, worse, worse, worse)]
    level = [
        next(row for row in result.differences if (row.method, row.objective) == ("dpo", "win_rate")).level
        for result in found
    ]
    assert level == [Level.WARN, Level.WARN, Level.OK, Level.WARN, Level.WARN, Level.FAIL]
    # the hypervolume need not last, and says at once what its objective does not
    assert found[0].at(Level.FAIL) == [] or {row.objective for row in found[0].at(Level.FAIL)} == {"hypervolume"}


def test_two_nights_are_enough_where_two_are_asked_for(tmp_path):
    series = Nights(tmp_path, nights={"win_rate": 2, "": 1})
    results = [series.go_on({("dpo", "win_rate"): -0.25}) for _ in range(2)]
    rows = [next(r for r in each.differences if (r.method, r.objective) == ("dpo", "win_rate")) for each in results]
    assert [row.level for row in rows] == [Level.WARN, Level.FAIL]
    assert [row.note for row in rows] == ["night 1 of 2 before it fails", "for 2 nights"]


def test_a_slow_drift_is_seen_although_no_night_shows_it(tmp_path):
    series = Nights(tmp_path, seed=1, fail=1e9, warn=1e9)
    results = [series.go_on({("dpo", "toxicity"): 0.005 * i}) for i in range(20)]
    assert all(not result.drift for result in results[:8])
    last = results[-1]
    assert {(step.label, step.objective) for step in last.drift} >= {("DPO", "toxicity")}
    assert {step.label for step in last.drift} <= {"DPO", "all methods"}
    assert all(step.p <= ALARM for step in last.drift) and last.verdict is Verdict.WARNING
    step = next(step for step in last.drift if step.objective == "toxicity")
    assert step.after > step.before and "2026-01" in step.since


def test_an_improvement_is_no_drift(tmp_path):
    series = Nights(tmp_path, seed=2, fail=1e9, warn=1e9)
    for i in range(14):
        result = series.go_on({("dpo", "toxicity"): -0.01 * i})
    assert not result.drift


def test_nights_that_measured_the_same_bits_are_no_evidence(tmp_path):
    """Ten copies of a lower score are one observation; ten measurements of it are ten."""
    series = Nights(tmp_path, seed=3, fail=1e9, warn=1e9)
    high = [night(series.random, series.effects) for _ in range(6)]
    for records in high:
        series.go_on(records=records)
    low = night(series.random, series.effects, {("dpo", "win_rate"): -0.3})
    for _ in range(6):
        result = series.go_on(records=low)
    assert not result.drift
    for _ in range(6):
        result = series.go_on({("dpo", "win_rate"): -0.3})
    assert any(step.objective == "win_rate" for step in result.drift)


def test_another_machine_starts_another_series(tmp_path):
    series = Nights(tmp_path, seed=4, fail=1e9, warn=1e9)
    for _ in range(8):
        series.go_on()
    for _ in range(8):
        result = series.go_on({("dpo", "win_rate"): -0.3}, platform="Elsewhere")
    assert not result.drift


def test_stationary_nights_alarm_at_the_stated_rate():
    """Correlated series (a method's night moves all its objectives) of 30 nights, 300 times."""
    random = np.random.default_rng(0)
    alarms = 0
    for _ in range(300):
        shared = random.normal(size=(30, 1))
        series = shared + random.normal(size=(30, 20))
        alarms += (find_steps(series, random, permutations=199)[1] <= ALARM).any()
    assert alarms <= 9  # binomial(300, 0.01) stays below with probability 0.999


def test_a_step_is_found_where_it_is():
    random = np.random.default_rng(1)
    series = random.normal(size=(24, 10))
    series[15:, 3] += 3
    start, p = find_steps(series, random)
    assert p[3] <= ALARM and abs(start[3] - 15) <= 1 and (np.delete(p, 3) > ALARM).all()


@pytest.fixture
def run(tmp_path):
    random = np.random.default_rng(0)
    return nights.write(tmp_path / "run", night(random, prompts(random)))


def blessed(run, folder, reason="the first one"):
    return bless(run, folder, reason, "prefrontier bless run", START)


def test_bless_keeps_the_old_baseline_and_records_the_reason(run, tmp_path):
    folder = tmp_path / "baselines"
    first, _ = blessed(run, folder)
    before = {path: path.read_bytes() for path in first.rglob("*") if path.is_file()}
    second, dropped = blessed(run, folder, "  longer training  ")
    assert (first.name, second.name, dropped) == ("0001", "0002", [])
    assert current(folder) == second
    assert {path: path.read_bytes() for path in first.rglob("*") if path.is_file()} == before
    blessing = json.loads((second / "blessing.json").read_text())
    assert blessing["reason"] == "longer training" and blessing["date"] == START.isoformat()
    assert blessing["command"] == "prefrontier bless run" and blessing["cells"] == 6
    assert gate(run, folder / "0002", resamples=20).verdict is Verdict.OK


def test_bless_says_which_cells_are_guarded_no_longer(run, tmp_path):
    blessed(run, tmp_path / "baselines")
    records = read(run).records
    less = replace(records, cells=records.cells[records.cells.method != "upo"])
    smaller = nights.write(tmp_path / "smaller", less)
    _, dropped = blessed(smaller, tmp_path / "baselines", "without UPO")
    assert dropped == ["UPO, tiny, seed 0", "UPO, tiny, seed 1"]


@pytest.mark.parametrize("reason", ["", "  \n"])
def test_bless_refuses_an_empty_reason(run, tmp_path, reason):
    with pytest.raises(Refused, match="--reason is empty"):
        blessed(run, tmp_path / "baselines", reason)
    assert not (tmp_path / "baselines").exists()


def test_bless_refuses_an_incomplete_run(run, tmp_path):
    records = read(run).records
    failed = replace(records, cells=records.cells.assign(status=["failed", *["ok"] * 5]))
    with pytest.raises(Refused, match="only 5 of 6 cells were measured; .* failed"):
        blessed(nights.write(tmp_path / "failed", failed), tmp_path / "baselines")
    partial = replace(records, cells=records.cells.iloc[1:])
    with pytest.raises(Refused, match="only 5 of 6 cells"):
        blessed(nights.write(tmp_path / "partial", partial, expected_cells=6), tmp_path / "baselines")


@pytest.mark.parametrize("broken", ["shutil.copytree", "shutil.copy2", "pathlib.Path.rename"])
def test_an_interrupted_bless_leaves_the_old_baseline_whole(run, tmp_path, monkeypatch, broken):
    folder = tmp_path / "baselines"
    first, _ = blessed(run, folder)

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(broken, interrupted)
        with pytest.raises(KeyboardInterrupt):
            blessed(run, folder, "never finished")
    assert current(folder) == first and [path.name for path in folder.iterdir()] == ["0001"]
    assert gate(run, current(folder), resamples=20).verdict is Verdict.OK


def test_what_a_killed_bless_left_behind_is_no_baseline(run, tmp_path):
    folder = tmp_path / "baselines"
    first, _ = blessed(run, folder)
    (folder / ".bless-killed" / "records").mkdir(parents=True)
    assert current(folder) == first


def test_a_folder_without_a_baseline_says_how_to_bless_one(tmp_path):
    with pytest.raises(Refused, match="no baseline yet.*prefrontier bless RUN_DIR --baseline"):
        current(tmp_path / "absent")


@pytest.mark.parametrize("shift", [None, {("dpo", "win_rate"): -0.3}])
def test_the_files_agree_with_the_verdict(tmp_path, shift):
    random = np.random.default_rng(0)
    effects = prompts(random)
    baseline, records = night(random, effects, seeds=4), night(random, effects, shift, seeds=4)
    failed = records.cells.assign(
        status=records.cells.status.where(records.cells.cell != "sft-tiny-s1", "failed"), error="loss is NaN \x00 <&>"
    )
    run = stored(replace(records, cells=failed))
    result = judge(run, stored(baseline, "baseline"), resamples=50)
    text = gate_files.write(result, tmp_path / "gate")
    assert {path.name for path in (tmp_path / "gate").iterdir()} == set(gate_files.FILES)
    lines = text.splitlines()
    assert lines[0] == "measured 11 of 12 cells"
    assert lines[2].startswith("# REGRESSION" if shift else "# INCOMPLETE") and result.command in lines[4]
    assert (tmp_path / "gate" / "summary.md").read_text() == text

    root = ElementTree.parse(tmp_path / "gate" / "junit.xml").getroot()
    cases = root.findall(".//testcase")
    assert int(root.get("tests")) == len(cases) == 12 + len(result.differences)
    assert int(root.get("failures")) == len(root.findall(".//failure")) == len(result.at(Level.FAIL))
    assert int(root.get("errors")) == len(root.findall(".//error")) == 1
    for suite in root:
        assert int(suite.get("tests")) == len(suite.findall("testcase"))
        assert int(suite.get("failures")) == len(suite.findall(".//failure"))
        assert int(suite.get("errors")) == len(suite.findall(".//error"))

    table = pd.read_csv(tmp_path / "gate" / "differences.csv")
    assert len(table) == len(result.differences)
    np.testing.assert_allclose(table.difference, table.run - table.baseline, atol=1e-12)
    assert table.level.tolist() == [row.level.value for row in result.differences]


def test_labels_of_older_nights_are_read_under_their_published_names(tmp_path):
    row = dict.fromkeys(history.COLUMNS, "") | {"time": "2026-01-01", "label": "kto_sft gamma=0.5", "value": 0.5}
    pd.DataFrame([row]).to_csv(tmp_path / "night.csv", index=False)
    assert history.read(tmp_path).label.tolist() == ["KTO + SFT γ=0.5"]


def test_a_run_whose_table_names_an_objective_twice_is_refused(run):
    table = run / "records" / "objectives.parquet"
    objectives = pd.read_parquet(table)
    pd.concat([objectives, objectives.head(1)]).to_parquet(table)
    with pytest.raises(Refused, match="objectives table: two rows have name"):
        read(run)
