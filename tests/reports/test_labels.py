"""Labels of people: reading, joining with outputs, corrected win rates and ratings in the report."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from harness.cli.main import main
from harness.records import Cell, Generation, ItemScore, Records, SchemaError
from reports.analysis import analyse
from reports.build import build
from reports.labels import joined, read_labels, write_labels
from reports.page.tables import tables
from reports.statistics.judges.bradley_terry import bradley_terry
from reports.statistics.judges.debiased import Sums, debiased
from tests.reports import synthetic

WIN = synthetic.OBJECTIVES[0]
SECOND = replace(WIN, name="win_rate_second", label="Second judge", role="descriptive", reference_point=None)
PROMPTS, LABELLED = 40, 12


def made() -> tuple[Records, dict[str, np.ndarray]]:
    """Three methods of one seed, judged by two judges; the verdicts of the first by method."""
    random, verdicts = np.random.default_rng(0), {}
    cells, items, generations = [], [], []
    for shift, name in enumerate(("dpo", "kto", "upo")):
        cells.append(Cell(name, name, name, name.upper(), "tiny", 0, {}))
        verdicts[name] = np.clip(random.normal(0.2 + 0.3 * shift, 0.2, PROMPTS), 0, 1)
        for p, value in enumerate(verdicts[name]):
            generations.append(Generation(f"p{p}#0", f"p{p}", f"Question {p}? ", f"{name} says {p}", 3, cell=name))
            items.append(ItemScore("win_rate", f"p{p}#0", f"p{p}", float(value), cell=name))
            items.append(ItemScore("win_rate_second", f"p{p}#0", f"p{p}", float(1 - value), cell=name))
            items.append(ItemScore("toxicity", f"p{p}#0", f"p{p}", float(random.random()), cell=name))
    objectives = (WIN, SECOND, synthetic.OBJECTIVES[1])
    return Records.build(objectives=objectives, cells=cells, items=items, generations=generations), verdicts


def labels(verdicts, names=("upo",)) -> pd.DataFrame:
    """People who are 0.2 less kind than the judge; white space at the ends of texts is not compared."""
    rows = [
        (f"Question {p}?", f" {name} says {p}\n", max(0.0, verdicts[name][p] - 0.2))
        for name in names
        for p in range(LABELLED)
    ]
    return pd.DataFrame(rows, columns=["prompt", "response", "label"])


@pytest.fixture(scope="module")
def labelled():
    records, verdicts = made()
    return records, verdicts, analyse(records, 20, labels=labels(verdicts))


def test_a_corrected_rate_is_that_of_its_sums(labelled):
    _, verdicts, analysis = labelled
    first, second = analysis.corrected
    assert (first.point, first.objective.name, second.objective.name) == ("upo", "win_rate", "win_rate_second")
    f, y = verdicts["upo"], np.maximum(0.0, verdicts["upo"][:LABELLED] - 0.2)
    expected = debiased(Sums(f[:LABELLED], np.ones(LABELLED), y), Sums(f[LABELLED:], np.ones(PROMPTS - LABELLED)))
    assert first.result.estimate.value == pytest.approx(expected.estimate.value)
    assert first.result.estimate.se == pytest.approx(expected.estimate.se) and first.judge.value == pytest.approx(
        f.mean()
    )
    assert first.agree == np.mean(np.sign(f[:LABELLED] - 0.5) == np.sign(y - 0.5))
    assert first.result.estimate.value < first.judge.value and first.result.gain > 1.5
    assert second.result.weight == 0.0, "a judge that calls the opposite is of no use"


def test_several_labels_of_an_output_are_averaged_and_those_of_other_outputs_dropped():
    records, verdicts = made()
    twice = pd.concat([labels(verdicts), labels(verdicts).assign(label=1.0)])
    other = pd.DataFrame({"prompt": ["Question 0?"], "response": ["not an output"], "label": [0.0]})
    table = joined(pd.concat([twice, other]), records)
    assert len(table) == LABELLED and set(table.cell) == {"upo"}
    single = joined(labels(verdicts), records)
    np.testing.assert_allclose(table.label, (single.label + 1) / 2)


def test_ratings_are_shown_under_each_judge_side_by_side(labelled):
    _, verdicts, analysis = labelled
    first, second = analysis.arenas
    assert first.points == second.points == ("dpo", "kto", "upo")
    expected = bradley_terry(np.stack([verdicts[name] for name in first.points]))
    np.testing.assert_allclose(first.ratings.theta, expected.theta)
    np.testing.assert_allclose(second.ratings.theta, -first.ratings.theta, atol=1e-6)
    table = tables(analysis).arena
    assert [row.values[1] for row in table.rows] == ["UPO", "KTO", "DPO"]
    assert [column.title for column in table.columns][2:] == [
        "Rating, Win rate", "Place, Win rate", "Rating, Second judge", "Place, Second judge"
    ]  # fmt: skip
    assert table.rows[0].values[3].text == "1" and table.rows[0].values[5].text == "3"


def test_alpha_stands_beside_kappa(labelled):
    (agreement,) = labelled[2].judges
    assert agreement.alpha is not None and agreement.alpha < 0 and agreement.kappa < 0
    titles = [column.title for column in tables(labelled[2]).judges.columns]
    assert titles[titles.index("Cohen's κ") + 1] == "Krippendorff's α"


def test_without_labels_nothing_is_corrected(labelled):
    assert analyse(labelled[0], 20).corrected == () and tables(analyse(labelled[0], 20)).corrected is None


@pytest.fixture
def run(tmp_path):
    return synthetic.write(tmp_path / "run", made()[0])


def report(capsys, monkeypatch, *words) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["prefrontier", "report", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


def test_the_verb_keeps_the_labels_for_later_reports(run, tmp_path, capsys, monkeypatch):
    file = tmp_path / "people.jsonl"
    rows = [{"instruction": f"Question {p}?", "output": f"upo says {p}", "label": p % 2} for p in range(LABELLED)] + [
        {"instruction": "Question 1?", "output": "else", "label": 0.5}
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, out, told = report(capsys, monkeypatch, run, "--labels", file)
    assert code == 0 and "labels: 13 rows; 12 outputs of this run have one" in out, told
    assert len(read_labels(run)) == 13
    assert "Win rates corrected by labels of people" in (run / "report" / "index.html").read_text()
    build(run, resamples=20)
    assert "Win rates corrected by labels of people" in (run / "report" / "report.md").read_text()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Question 1?", "output": "upo says 1", "label": 2}, "people.jsonl:1: label 2 is not from 0"),
        ({"prompt": "Question 1?", "output": "another", "label": 1}, "none of its 1 labels is of an output"),
        ({"prompt": "Question 1?", "output": "upo says 1", "labl": 1, "n": 2}, "did you mean 'labl'?"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(run, tmp_path, capsys, monkeypatch, row, message):
    (tmp_path / "people.jsonl").write_text(json.dumps(row) + "\n")
    code, _, told = report(capsys, monkeypatch, run, "--labels", tmp_path / "people.jsonl")
    assert code == 4 and message in told and len(told.strip().splitlines()) == 1
    assert read_labels(run) is None and not (run / "report").exists()


def test_damaged_labels_of_a_run_are_named(run):
    write_labels(pd.DataFrame({"prompt": ["a"], "response": ["b"], "label": [3.0]}), run)
    with pytest.raises(SchemaError, match="labels.csv: row 2: the label is not from 0 to 1"):
        read_labels(run)
    (run / "labels.csv").write_text("prompt,label\n")
    with pytest.raises(SchemaError, match="column 'response' is missing"):
        read_labels(run)
