"""The nightly verdict: regressions found, noise ignored, unmeasured cells never passed."""

from __future__ import annotations

import os
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from reports.nightly import gate_files
from reports.nightly.differences import Level, differences, statistics
from reports.nightly.frontier_changes import HYPERVOLUME
from reports.nightly.gate import Thresholds, Verdict, judge
from reports.nightly.measurement_check import SCORERS
from reports.nightly.noise import detectable
from reports.nightly.pairing import Unmeasured, pair
from reports.run_folder import Refused
from reports.statistics.resampling import weights
from tests.reports import nights
from tests.reports.nights import night, prompts, stored

REPLICATIONS = int(os.environ.get("PREFRONTIER_REPLICATIONS", 60))
"""Simulated nights; 2000 take some minutes and narrow the rates to a percentage point."""
DRAWS = 200


def made(seed: int = 0, shift=None, **options):
    """A baseline and a run of the same prompts, the run with a true change."""
    random = np.random.default_rng(seed)
    effects = prompts(random)
    return night(random, effects, **options), night(random, effects, shift, **options)


def judged(baseline, run, **options):
    return judge(stored(run), stored(baseline, "baseline"), Thresholds(**options), DRAWS)


@pytest.fixture(scope="module")
def same():
    return made()[0]


def row_of(result, method, objective):
    return next(row for row in result.differences if (row.method, row.objective) == (method, objective))


def test_identical_runs_are_ok_and_every_difference_is_zero(same):
    result = judged(same, same)
    assert result.verdict is Verdict.OK
    assert len(result.differences) == 3 * 2 + 3 + 1
    assert all(row.difference == 0 and row.run == row.baseline and row.level is Level.OK for row in result.differences)
    assert result.measured == len(result.planned) == 6
    assert not result.membership and result.command == ""
    assert any("nothing was measured anew" in note for note in result.notes)


def test_ids_that_changed_with_the_code_do_not_matter(same):
    cells, items = same.cells, same.items
    renamed = replace(
        same,
        cells=cells.assign(cell="x" + cells.cell, point="y" + cells.point).iloc[::-1],
        items=items.assign(cell="x" + items.cell).sample(frac=1, random_state=0),
        measures=same.measures.iloc[:0],
    )
    result = judged(same, renamed)
    assert result.measured == 6 and all(row.difference == 0 for row in result.differences)


@pytest.mark.parametrize(("objective", "sign"), [("win_rate", -1), ("toxicity", 1)])
def test_a_planted_regression_is_found_in_the_bad_direction_only(objective, sign):
    loss = 0.15
    baseline, worse = made(4, {("dpo", objective): sign * loss})
    result = judged(baseline, worse)
    assert result.verdict is Verdict.REGRESSION
    found = row_of(result, "dpo", objective)
    assert found.level is Level.FAIL and found.word == "worse" and found.low < sign * loss < found.high
    assert result.command.startswith("prefrontier run made --cell dpo-tiny-s")
    assert all(row.method == "dpo" for row in result.at(Level.FAIL))
    baseline, better = made(4, {("dpo", objective): -sign * loss})
    result = judged(baseline, better)
    assert not result.at(Level.FAIL) and row_of(result, "dpo", objective).word == "better"


def test_a_row_names_the_seed_that_lost_most_and_the_verdict_the_row_that_lost_most(same):
    """Seed 1 of DPO loses wins and seed 0 becomes toxic; of UPO and SFT both seeds get worse, UPO by more."""
    loss = {("dpo-tiny-s1", "win_rate"): -0.3, ("dpo-tiny-s0", "toxicity"): 0.3}
    for seed in (0, 1):
        loss |= {(f"upo-tiny-s{seed}", "win_rate"): -0.6, (f"sft-tiny-s{seed}", "toxicity"): 0.2}
    change = [loss.get(key, 0.0) for key in zip(same.items.cell, same.items.objective, strict=True)]
    noise = 1e-3 * np.random.default_rng(0).normal(size=len(change))
    result = judged(same, replace(same, items=same.items.assign(value=same.items.value + change + noise)))
    assert "dpo-tiny-s1" in row_of(result, "dpo", "win_rate").command
    assert "dpo-tiny-s0" in row_of(result, "dpo", "toxicity").command
    wrong = result.at(Level.FAIL)
    assert (wrong[0].method, wrong[-1].method) == ("upo", "sft") and wrong[0].floors > wrong[-1].floors
    assert result.command == wrong[0].command != wrong[-1].command


def test_a_lower_hypervolume_fails_and_names_the_cell_that_lost():
    baseline, worse = made(1, {("upo", "win_rate"): -0.2, ("upo", "toxicity"): 0.2})
    result = judged(baseline, worse)
    drop = row_of(result, "upo", HYPERVOLUME)
    assert drop.level is Level.FAIL and drop.low < drop.difference < drop.high < 0
    assert "upo" in drop.command
    # (0.65 − 0.2)(1 − 0.35 − 0.2) against 0.65 · 0.65
    assert drop.difference == pytest.approx(0.45 * 0.45 - 0.65 * 0.65, abs=0.05)
    assert row_of(result, "dpo", HYPERVOLUME).level is not Level.FAIL
    left = [member for member in result.membership if member.was and not member.now]
    assert [member.label for member in left] == ["UPO"] and left[0].level is Level.WARN


def test_the_frontier_is_that_of_the_objectives_with_a_stated_reference_point(same):
    unstated = same.objectives.assign(reference_point=[0.0, float("nan")])
    records = replace(same, objectives=unstated)
    result = judged(records, records)
    assert HYPERVOLUME not in {row.objective for row in result.differences}
    assert "fewer than two objectives state a reference point" in " ".join(result.notes)


def rates(replications: int, shift=None, **options) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Over simulated nights: whether it failed, whether it only warned, whether the planted row failed, and all p-values."""
    failed, warned, found, p = [], [], [], []
    for seed in range(replications):
        baseline, run = made(1000 + seed, shift, **options)
        result = judge(stored(run), stored(baseline, "baseline"), resamples=100)
        failed.append(result.verdict is Verdict.REGRESSION)
        warned.append(result.verdict is Verdict.WARNING)
        found.append(row_of(result, "dpo", "win_rate").level is Level.FAIL)
        p.append([row.p for row in result.differences if row.objective != HYPERVOLUME])
    return np.array(failed), np.array(warned), np.array(found), np.array(p, dtype=float)


@pytest.mark.parametrize("options", [{"seeds": 1, "seed_sd": 0.0}, {}], ids=["one seed", "two seeds"])
def test_the_rate_of_false_alarms_is_the_stated_one(options):
    """Two runs of one truth with other seeds. Set PREFRONTIER_REPLICATIONS for more nights."""
    failed, warned, _, p = rates(REPLICATIONS, **options)
    assert failed.sum() <= stats.binom.ppf(0.999, REPLICATIONS, 0.025)
    assert warned.sum() <= stats.binom.ppf(0.999, REPLICATIONS, 0.05)
    # A p-value below 0.05 has probability 0.05; with two seeds it is on the safe side.
    error = np.sqrt(0.05 * 0.95 / (REPLICATIONS * 3))
    assert (p < 0.05).mean() < 0.05 + 4 * error
    assert options == {} or (p < 0.05).mean() > 0.05 - 4 * error


@pytest.mark.parametrize("options", [{"seeds": 1, "seed_sd": 0.0}, {"seeds": 5}], ids=["one seed", "five seeds"])
def test_the_stated_loss_is_found_with_the_stated_power(options):
    """A true loss as large as the minimum detectable one (the median over six nights) fails in 80 % of nights."""
    nights_without = [judged(*made(seed, **options)).sensitivity for seed in range(6)]
    least = float(np.median([row.detectable for rows in nights_without for row in rows if row.objective == "win_rate"]))
    _, _, found, _ = rates(25, {("dpo", "win_rate"): -least}, **options)
    assert abs(found.mean() - 0.8) < 0.25
    _, _, found, _ = rates(12, {("dpo", "win_rate"): -least / 3}, **options)
    assert found.mean() < 0.35


def test_every_row_has_its_own_detectable_loss_and_none_beyond_what_is_possible():
    baseline, run = made(4, seeds=3)
    rows = [row for row in judged(baseline, run).differences if row.objective == "win_rate"]
    assert len({row.detectable for row in rows}) == len(rows)
    for row in rows:
        # an error is at least the noise floor; a larger one or fewer degrees of freedom ask for a larger loss
        expected = detectable(row.floor, max(row.floor, row.se), row.df, 2.0, 0.05, 10)
        assert row.detectable == pytest.approx(expected) and row.detectable < row.baseline
    noisy = judged(*made(4, seeds=2, seed_sd=0.4))
    blind = next(row for row in noisy.sensitivity if row.objective == "win_rate")
    assert blind.detectable is None and blind.blind == blind.rows == 3
    assert "no loss this night could fail" in gate_files.summary(noisy)


def test_names_are_text_in_every_file_of_the_gate(tmp_path):
    result = judged(*made(4, seeds=2, seed_sd=0.4))
    name, command = "=1+1|<b>x</b> _y_", "run `date` | tee"
    rows = [replace(row, label=name, size="|", command=command, level=Level.FAIL) for row in result.differences]
    odd = replace(
        result,
        differences=tuple(rows),
        unmeasured=(Unmeasured(name, "[a](b)", command),),
        changes=(name,),
        notes=("# x",),
    )
    text = gate_files.write(odd, tmp_path)
    assert r"\=1+1\|&lt;b>x&lt;/b> \_y\_" in text and "`` run `date` | tee ``" in text
    assert r"\[a\](b)" in text and "- \\# x" in text and "<b>" not in text
    tables = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in tables} <= {6, 9}
    table = pd.read_csv(tmp_path / "differences.csv")
    assert set(table.label) == {f"'{name}"}


def test_no_interval_of_the_gate_leaves_what_is_possible():
    for row in judged(*made(4, seeds=2, seed_sd=0.4)).differences:
        assert row.low is None or (row.low >= -1 and row.high <= 1)


def test_the_standard_error_is_that_of_the_cluster_bootstrap():
    """Seeds fixed: prompts redrawn with Dirichlet weights give the closed form's standard error."""
    baseline, run = made(2, seeds=1)
    paired = pair(run, baseline)
    grid, found = paired.difference["win_rate"], differences(paired, statistics(paired))
    share = weights("prompt", grid.clusters, 20000, 0)
    n = len(grid.clusters)
    drawn = (share @ grid.total.T).std(axis=0) * np.sqrt((n + 1) / (n - 1))
    assert [row.se for row in found if row.objective == "win_rate"] == pytest.approx(
        [drawn[grid.rows(point.cells)[0]] for point in paired.points], rel=0.03
    )


def test_the_paired_test_is_scipys_for_one_seed_and_says_what_it_is_about():
    baseline, run = made(2, seeds=1)
    result = judged(baseline, run)
    found = row_of(result, "dpo", "win_rate")
    values = [
        r.items[(r.items.cell == "dpo-tiny-s0") & (r.items.objective == "win_rate")].set_index("item").value
        for r in (run, baseline)
    ]
    assert found.p == pytest.approx(stats.ttest_rel(*values).pvalue)
    assert found.scope == "checkpoints" and any("One seed" in note for note in result.notes)
    assert row_of(judged(*made(2)), "dpo", "win_rate").scope == "method"


def test_the_noise_floor_is_the_spread_of_two_runs_with_other_seeds():
    """Measured from one baseline, it is the standard deviation of differences between many runs."""
    random = np.random.default_rng(5)
    effects = prompts(random)
    runs = [night(random, effects) for _ in range(60)]
    floors, means = [], []
    for run in runs:
        paired = pair(run, run)
        floors.append(statistics(paired).floors["tiny", "win_rate"].value)
        grid = paired.run["win_rate"]
        means.append([grid.mean[grid.rows(point.cells)].mean() for point in paired.points])
    spread = np.sqrt(2 * np.array(means).var(axis=0, ddof=1).mean())
    assert np.sqrt(np.mean(np.square(floors))) == pytest.approx(spread, rel=0.15)


def test_the_noise_floor_of_one_seed_comes_from_repeated_samples():
    baseline, run = made(4, seeds=1, trials=4)
    floor = next(row.floor for row in judged(baseline, run).sensitivity if row.objective == "win_rate")
    assert floor.source == "samples"
    assert floor.value == pytest.approx(np.sqrt(2 * nights.NOISE_SD**2 / 160), rel=0.1)
    assert {row.floor.source for row in judged(*made(4, seeds=1)).sensitivity} == {"pairs"}


def test_a_significant_difference_inside_the_noise_floor_passes(same):
    items = same.items.assign(value=same.items.value - 1e-6 * (same.items.objective == "win_rate"))
    found = row_of(judged(same, replace(same, items=items)), "dpo", "win_rate")
    assert found.word == "worse" and found.level is Level.OK and "inside the noise floor" in found.note


def test_a_constant_loss_is_tested_although_it_leaves_no_standard_error(same):
    value = same.items.value.round(2)
    baseline = replace(same, items=same.items.assign(value=value))
    run = replace(same, items=same.items.assign(value=value - 0.5 * (same.items.objective == "win_rate")))
    found = row_of(judged(baseline, run), "dpo", "win_rate")
    assert found.level is Level.FAIL and found.p < 1e-6


def test_scores_that_never_vary_promise_nothing(same):
    flat = replace(same, items=same.items.assign(value=1.0))
    result = judged(flat, flat)
    assert result.verdict is Verdict.OK and {row.detectable for row in result.sensitivity} == {None}


def test_thresholds_are_in_noise_floors():
    baseline, worse = made(3, {("dpo", "win_rate"): -0.15})
    floors = row_of(judged(baseline, worse), "dpo", "win_rate").floors
    assert row_of(judged(baseline, worse, fail=floors * 0.99), "dpo", "win_rate").level is Level.FAIL
    assert row_of(judged(baseline, worse, fail=floors * 1.01), "dpo", "win_rate").level is Level.WARN
    assert row_of(judged(baseline, worse, fail=99, warn=floors * 0.99), "dpo", "win_rate").level is Level.WARN
    assert row_of(judged(baseline, worse, fail=99, warn=floors * 1.01), "dpo", "win_rate").level is Level.OK
    with pytest.raises(ValueError, match="0 <= warn <= fail"):
        Thresholds(warn=3, fail=2)


@pytest.mark.parametrize("how", ["failed", "absent", "no items", "no values"])
def test_a_cell_that_was_not_measured_is_never_green(same, how):
    cells, items = same.cells, same.items
    mine = items.cell == "dpo-tiny-s1"
    run = {
        "failed": lambda: replace(
            same,
            cells=cells.assign(status=cells.status.where(cells.cell != "dpo-tiny-s1", "failed")),
            items=items[~mine],
        ),
        "absent": lambda: replace(same, cells=cells[cells.cell != "dpo-tiny-s1"], items=items[~mine]),
        "no items": lambda: replace(same, items=items[~(mine & (items.objective == "toxicity"))]),
        "no values": lambda: replace(
            same, items=items.assign(value=items.value.mask(mine & (items.objective == "toxicity")))
        ),
    }[how]()
    result = judged(same, run)
    assert result.verdict is Verdict.INCOMPLETE
    assert (result.measured, len(result.planned)) == (5, 6)
    assert {lack.cell for lack in result.unmeasured} == {"DPO, tiny, seed 1"}
    assert result.command.startswith("prefrontier run made")
    assert row_of(result, "sft", "toxicity").level is Level.OK


def test_nothing_measured_is_its_own_verdict(same):
    run = replace(same, cells=same.cells.assign(status="failed", error="out of memory"), items=same.items.iloc[:0])
    result = judged(same, run)
    assert result.verdict is Verdict.NOTHING and result.measured == 0
    assert "out of memory" in result.unmeasured[0].why


def test_a_new_cell_is_compared_with_nothing_and_said_so(same):
    less = replace(
        same, cells=same.cells[same.cells.method != "upo"], items=same.items[~same.items.cell.str.startswith("upo")]
    )
    result = judged(less, same)
    assert result.new == ("UPO, tiny, seed 0", "UPO, tiny, seed 1")
    assert result.verdict is Verdict.WARNING and result.measured == 4


def test_missing_items_are_bounded_never_dropped(same):
    """A quarter of one cell's items lost: as if all were lost comparisons that is a regression, so it is not green."""
    items = same.items
    quarter = (
        (items.cell == "dpo-tiny-s0") & (items.objective == "win_rate") & items["item"].str.contains(r"^p\d?[05]#")
    )
    assert quarter.sum() == 8
    lost = replace(same, items=items.assign(value=items.value.mask(quarter)))
    found = row_of(judged(same, lost), "dpo", "win_rate")
    assert found.lost == 8 and found.difference == 0 and found.level is Level.UNMEASURED
    one = replace(same, items=items.assign(value=items.value.mask(quarter & (items["item"] == "p5#0"))))
    assert row_of(judged(same, one), "dpo", "win_rate").level is Level.OK
    assert row_of(judged(lost, lost), "dpo", "win_rate").level is Level.OK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda items: items[~((items.cell == "sft-tiny-s0") & (items["item"] == "p3#0"))],
            "'p3#0' is only in the baseline",
        ),
        (
            lambda items: items.assign(item=items["item"].str.replace("p3#0", "p99#0")),
            r"'p3#0' is only in the baseline",
        ),
        (lambda items: items.assign(cluster=items.cluster.str.replace("p3", "p4")), "is of another prompt"),
        (lambda items: items.iloc[[*range(len(items)), 0]], "twice"),
    ],
)
def test_unequal_items_are_refused(same, change, message):
    with pytest.raises(Refused, match=message):
        judged(same, replace(same, items=change(same.items)))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"judge": {"kind": "reward_model", "model": None}}, "judge.kind is reward_model, in the baseline oracle"),
        ({"decoding": {"temperature": 0.7, "samples": 1}}, "decoding.temperature is 0.7, in the baseline 1.0"),
        ({"data": {"source": "oracle", "pairs": 128}}, "data.pairs is 128, in the baseline 64"),
    ],
)
def test_runs_measured_otherwise_are_refused_naming_the_field(same, changes, field):
    with pytest.raises(Refused) as refusal:
        judge(stored(same, experiment=nights.EXPERIMENT | changes), stored(same, "baseline"))
    assert field in str(refusal.value) and "\n" not in str(refusal.value)


def test_other_scorers_directions_and_judges_are_refused(same):
    with pytest.raises(Refused, match=f"libraries.{SCORERS[-1]} is 2, in the baseline 1"):
        judge(stored(same, libraries={"textstat": "2"}), stored(same, "baseline"))
    turned = replace(same, objectives=same.objectives.assign(direction="maximize"))
    with pytest.raises(Refused, match="objective toxicity: direction is maximize, in the baseline minimize"):
        judged(same, turned)
    other_judge = replace(same, items=same.items.assign(detail='{"judge_revision": "b"}'))
    with pytest.raises(Refused, match="win_rate: judge_revision of the items is b, in the baseline absent"):
        judged(same, other_judge)


def test_what_else_differs_is_listed_as_a_possible_cause(same):
    run = stored(
        same,
        experiment=nights.EXPERIMENT | {"training": {"learning_rate": 1e-3}},
        commit="fff",
        libraries={"textstat": "1", "torch": "3"},
    )
    found = judge(run, stored(same, "baseline"), resamples=50).changes
    assert found == (
        "commit is fff, in the baseline 0123abc",
        "training.learning_rate is 0.001, in the baseline 0.0002",
        "libraries.torch is 3, in the baseline 2",
    )
