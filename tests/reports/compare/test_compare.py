"""Comparison of finished runs: planted differences, common prompts, merged seeds, and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harness.records import Generation, to_frame
from reports.analysis import analyse
from reports.compare.comparison import BY_ORDER, compare_runs
from reports.compare.page import write
from reports.compare.sides import names
from reports.compare.summary import summary, volume_lines
from reports.run_folder import Refused
from reports.statistics.verdicts import BETTER, NOT_SEPARABLE
from tests.reports import nights
from tests.reports.conftest import HOSTILE

DRAWS = 50
SHIFT = {("upo", "toxicity"): -0.1}


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Two runs of the same prompts, of which the second has a less toxic UPO and other settings."""
    random, folder = np.random.default_rng(0), tmp_path_factory.mktemp("runs")
    prompts = nights.prompts(random)
    first = nights.write(folder / "first", nights.night(random, prompts))
    experiment = {**nights.EXPERIMENT, "training": {"learning_rate": 3e-4}, "methods": {"upo": {}}}
    libraries = {"textstat": "2", "torch": "2"}
    second = nights.write(folder / "second", nights.night(random, prompts, SHIFT), experiment, libraries=libraries)
    return first, second


@pytest.fixture(scope="module")
def beside(two):
    return compare_runs(two, DRAWS)


def rows(beside) -> dict:
    return {(each.setting, each.objective.name): each for each in beside.paired}


def with_texts(records, text, ids=str):
    """Records whose prompts have a text, under other ids."""
    number = records.items.cluster.str[1:]
    items = records.items.assign(
        cluster=number.map(ids), item=[f"{ids(n)}#{t}" for n, t in zip(number, records.items.trial, strict=True)]
    )
    generations = [
        Generation(f"{ids(n)}#0", ids(n), text(n), "answer", 1, cell=records.cells.cell[0]) for n in number.unique()
    ]
    return replace(records, items=items, generations=to_frame(generations))


def test_a_planted_difference_is_found_and_no_other(beside):
    found = {key for key, each in rows(beside).items() if each.verdict != NOT_SEPARABLE}
    assert found == {("UPO", "toxicity")}
    each = rows(beside)["UPO", "toxicity"]
    assert each.verdict == BETTER and (each.first, each.second) == ("first", "second")
    assert each.difference.low < -0.1 < each.difference.high < 0
    assert "UPO, tiny: Toxicity is better in second than in first" in summary(beside)[1]
    assert volume_lines(beside)[0].startswith("second: UPO, tiny: the hypervolume is better than that of first: UPO")


def test_a_difference_is_that_of_the_means_and_turns_its_sign_with_the_runs(two, beside):
    items = [pd.read_parquet(folder / "records" / "items.parquet") for folder in two]
    means = [frame[frame.cell.str.startswith("dpo") & (frame.objective == "win_rate")].value.mean() for frame in items]
    each = rows(beside)["DPO", "win_rate"]
    assert each.values == pytest.approx(tuple(means)) and each.difference.value == pytest.approx(means[1] - means[0])
    turned = rows(compare_runs(two[::-1], DRAWS))["DPO", "win_rate"]
    assert turned.difference.value == pytest.approx(-each.difference.value)
    assert turned.difference.low == pytest.approx(-each.difference.high)


def test_the_error_rate_is_shared_by_all_settings_and_objectives_of_a_size(beside):
    assert {round(each.difference.level, 10) for each in beside.paired} == {round(1 - 0.05 / 6, 10)}


def test_what_differs_is_named_with_the_values_of_each_run(beside):
    assert [(row.kind, row.key, row.values) for row in beside.unlike] == [
        ("measurement", "libraries.textstat", ("1", "2")),
        ("settings", "methods", ("null", '{"upo": {}}')),
        ("settings", "training.learning_rate", ("0.0002", "0.0003")),
    ]
    assert any("measured with differs (libraries.textstat)" in line for line in summary(beside))


def test_equal_runs_differ_in_nothing(two, tmp_path):
    records = nights.night(np.random.default_rng(1), np.zeros(12))
    folders = [nights.write(tmp_path / name, records) for name in ("a", "b")]
    same = compare_runs(folders, DRAWS)
    assert [row.key for row in same.unlike] == [] and len(same.sides) == 2
    assert {each.difference.value for each in same.paired} == {0.0}
    assert summary(same) == ["None of 6 paired differences of 3 settings differs: all scores are equal, item for item."]


def test_runs_that_differ_in_their_seeds_alone_are_one(tmp_path):
    """Two halves of a run of four seeds have the figures of the whole run."""
    whole = nights.night(np.random.default_rng(2), nights.prompts(np.random.default_rng(3), 20), seeds=4)
    folders = []
    for name, seeds in (("a", (0, 1)), ("b", (2, 3))):
        cells = whole.cells[whole.cells.seed.isin(seeds)]
        part = replace(whole, cells=cells, items=whole.items[whole.items.cell.isin(cells.cell)])
        folders.append(nights.write(tmp_path / name, part, {**nights.EXPERIMENT, "seeds": list(seeds)}))
    merged, expected = compare_runs(folders, DRAWS), analyse(whole, DRAWS)
    assert [side.name for side in merged.sides] == ["a+b"] and not merged.paired
    assert "differ in their seeds alone" in summary(merged)[0] and "0, 1, 2 and 3" in summary(merged)[0]
    for mine, other in zip(merged.analysis.points.values(), expected.points.values(), strict=True):
        assert mine.point.label == other.point.label and mine.point.seeds == (0, 1, 2, 3)
        assert mine.method == other.method and mine.checkpoints == other.checkpoints


def test_runs_without_a_common_seed_are_paired_in_order(tmp_path):
    random = np.random.default_rng(4)
    prompts = nights.prompts(random, 20)
    other = nights.night(random, prompts)
    other = replace(other, cells=other.cells.assign(seed=other.cells.seed + 7))
    folders = [
        nights.write(tmp_path / "a", nights.night(random, prompts)),
        nights.write(tmp_path / "b", other, {**nights.EXPERIMENT, "training": {}}),
    ]
    paired = compare_runs(folders, DRAWS).paired
    assert paired and all(each.note.endswith(BY_ORDER) and each.difference is not None for each in paired)


def test_prompts_are_matched_by_their_text(tmp_path):
    """The second run has other ids, and half of the prompts of the first beside new ones."""
    random = np.random.default_rng(5)
    prompts = nights.prompts(random, 20)
    records = [nights.night(random, prompts), nights.night(random, prompts)]
    first = with_texts(records[0], lambda n: f"prompt {n}", lambda n: f"p{n}")
    second = with_texts(records[1], lambda n: f"prompt {int(n) + 10}", lambda n: f"p{int(n) % 5}-{n}")
    folders = [
        nights.write(tmp_path / "a", first),
        nights.write(tmp_path / "b", second, {**nights.EXPERIMENT, "data": {"source": "other"}}),
    ]
    beside = compare_runs(folders, DRAWS)
    assert [(each.objective, each.prompts, each.common) for each in beside.merged.shared] == [
        ("win_rate", (20, 20), 10), ("toxicity", (20, 20), 10)
    ]  # fmt: skip
    sides = []
    for side, numbers in zip(records, (range(10, 20), range(10)), strict=True):
        mine = side.items[side.items.cell.str.startswith("upo") & (side.items.objective == "toxicity")]
        sides.append(mine[mine.cluster.isin([f"p{n}" for n in numbers])].value.mean())
    assert rows(beside)["UPO", "toxicity"].values == pytest.approx(tuple(sides))


def test_equal_ids_of_other_prompts_are_not_in_common(tmp_path):
    records = nights.night(np.random.default_rng(6), np.zeros(6))
    folders = [
        nights.write(tmp_path / name, with_texts(records, lambda n, name=name: f"{name} {n}", lambda n: f"p{n}"))
        for name in ("a", "b")
    ]
    beside = compare_runs(folders, DRAWS)
    assert beside.analysis is None and "nothing is compared" in summary(beside)[0]
    assert "win_rate is left out: no prompt in common (6 in a and 6 in b)" in summary(beside)
    assert "nothing is compared" in write(beside, tmp_path / "page").read_text()


def test_a_descriptive_objective_is_part_of_no_verdict(tmp_path):
    random = np.random.default_rng(9)
    records = [nights.night(random, nights.prompts(random, 8)) for _ in range(2)]
    folders = []
    for name, each in zip("ab", records, strict=True):
        objectives = each.objectives.assign(role=["user", "descriptive"])
        folders.append(nights.write(tmp_path / name, replace(each, objectives=objectives)))
    beside = compare_runs(folders, DRAWS)
    assert {each.objective.name for each in beside.paired} == {"win_rate"}


def test_an_objective_of_another_judge_is_left_out(two, tmp_path):
    judged = nights.night(np.random.default_rng(7), np.zeros(40))
    detail = judged.items.objective.map({"win_rate": json.dumps({"judge": "another"}), "toxicity": "{}"})
    other = nights.write(tmp_path / "judged", replace(judged, items=judged.items.assign(detail=detail)))
    beside = compare_runs([two[0], other], DRAWS)
    assert [each.objective for each in beside.merged.shared] == ["toxicity"]
    assert "win_rate is left out: measured in another way (judge)" in beside.merged.notes


@pytest.mark.parametrize("count", [0, 1])
def test_a_comparison_needs_two_runs(two, count):
    with pytest.raises(Refused, match="at least two"):
        compare_runs(two[:count])


def test_a_run_named_twice_and_a_folder_without_a_run_are_refused(two, tmp_path):
    with pytest.raises(Refused, match="named twice"):
        compare_runs([two[0], two[1], two[0]])
    with pytest.raises(Refused, match="experiment.resolved.yaml: missing"):
        compare_runs([two[0], tmp_path])


def test_the_page_has_all_runs_in_one_figure_and_escapes_every_text(tmp_path):
    random = np.random.default_rng(8)
    prompts = nights.prompts(random, 10)
    hostile = nights.night(random, prompts)
    hostile = replace(hostile, cells=hostile.cells.assign(label=HOSTILE.replace("/", "") + " " + hostile.cells.label))
    folders = [
        nights.write(tmp_path / "a", nights.night(random, prompts)),
        nights.write(tmp_path / "<b>", hostile, {**nights.EXPERIMENT, "training": HOSTILE}),
    ]
    page = write(compare_runs(folders, DRAWS), tmp_path / "page")
    text = page.read_text()
    assert text.count('class="point') == 6 and text.count('<svg class="chart"') == 1
    assert "<b>:" not in text and "<img" not in text and text.count("<script") == 2
    assert {path.name for path in (tmp_path / "page" / "tables").glob("*.csv")} >= {"differences.csv", "common.csv"}
    assert "&lt;img" in text and "beside each other" in (tmp_path / "page" / "compare.md").read_text()


def test_runs_of_one_name_are_told_apart_by_their_parents(tmp_path):
    assert names([tmp_path / "x" / "run", tmp_path / "y" / "run"]) == ["x/run", "y/run"]


def test_the_command_prints_the_table_and_writes_the_page(two, tmp_path, capsys, monkeypatch):
    from harness.cli.main import main

    monkeypatch.setattr("sys.argv", ["prefrontier", "compare", *map(str, two), "--out", str(tmp_path / "page")])
    with pytest.raises(SystemExit) as ended:
        main()
    told = capsys.readouterr().out
    assert ended.value.code == 0 and "training.learning_rate" in told and "1 of 6 paired differences" in told
    assert f"page: {tmp_path / 'page' / 'index.html'}" in told and (tmp_path / "page" / "index.html").is_file()
