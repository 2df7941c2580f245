"""The verb ``frontier``: files in, report out, and one line for every mistake."""

from __future__ import annotations

import gzip
import json

import pandas as pd
import pytest

from harness.cli import main as cli
from harness.cli.frontier import write_experiment
from harness.plan.cells import make_plan
from harness.records import Records
from harness.spec.loading import load
from tests.harness.entries.conftest import PROMPTS
from tests.paths import SHARED

MODELS = SHARED / "self_instruct_eval" / "model_outputs"
MARKS = "exclamations={regex: '!', direction: minimize, bounds: [0, 3]}"


@pytest.fixture
def frontier(tmp_path, monkeypatch, capsys):
    """Run the verb in this process; its exit code, what it printed, and the output folder."""

    def run(*words) -> tuple[int, str]:
        out = ["--out", str(tmp_path / "out"), "--store", str(tmp_path / "store"), "--workers", "1"]
        monkeypatch.setattr("sys.argv", ["prefrontier", "frontier", *map(str, words), *out])
        with pytest.raises(SystemExit) as exit:
            cli.main()
        printed = capsys.readouterr()
        return exit.value.code, printed.out + printed.err

    return run


def records(tmp_path) -> Records:
    return Records.read(tmp_path / "out" / "records")


def test_files_go_in_and_a_report_comes_out(frontier, write, answers, tmp_path):
    code, said = frontier(write("calm.jsonl", answers(0)), write("loud.jsonl", answers(2)), "--objective", MARKS)
    assert code == 0, said
    assert "calm: 6 of 6 prompts, 6 rows" in said and "loud: 6 of 6 prompts, 6 rows" in said
    items = records(tmp_path).items
    means = items[items.objective == "exclamations"].groupby("cell").value.mean()
    labels = records(tmp_path).cells.set_index("cell").label
    assert {labels[cell]: mean for cell, mean in means.items()} == {"calm": 0.0, "loud": 2.0}
    page = (tmp_path / "out" / "report" / "index.html").read_text(encoding="utf-8")
    assert "not trained here, so KL and training health are not known" in page
    assert load(str(tmp_path / "out" / "frontier.yaml")).objectives["exclamations"].bounds == (0.0, 3.0)


def test_a_file_with_half_the_prompts_misses_the_others(frontier, write, answers, tmp_path):
    code, said = frontier(write("all.jsonl", answers(0)), write("half.jsonl", answers(1)[:3]), "--objective", MARKS)
    assert code == 0 and "half: 3 of 6 prompts, 3 rows" in said
    found = records(tmp_path)
    half = found.cells[found.cells.label == "half"].cell.item()
    items = found.items[(found.items.cell == half) & (found.items.objective == "exclamations")]
    assert items.status.value_counts().to_dict() == {"ok": 3, "skipped": 3}
    assert items[items.status == "skipped"].value.isna().all()
    page = (tmp_path / "out" / "report" / "report.md").read_text(encoding="utf-8")
    assert "items of 48 have no value" in page


def test_one_file_of_several_generators_is_several_entries(frontier, write, answers, tmp_path):
    rows = answers(0, generator="a", seed=0) + answers(1, generator="a", seed=1) + answers(2, generator="b", seed=0)
    assert frontier(write("both.jsonl", rows), "--objective", MARKS)[0] == 0
    cells = records(tmp_path).cells
    assert sorted(zip(cells.label, cells.seed, strict=True)) == [("a", 0), ("a", 1), ("b", 0)]
    assert cells[cells.label == "a"].point.nunique() == 1


def test_several_samples_of_a_prompt_are_trials(frontier, write, answers, tmp_path):
    one, two = answers(0), answers(2)
    twice = [{**row, "output": f"{row['output']} again"} for row in two]
    assert frontier(write("one.jsonl", one), write("two.jsonl", two + twice), "--objective", MARKS)[0] == 0
    found = records(tmp_path)
    assert found.generations.groupby("cell").trial.max().sort_values().tolist() == [0, 1]
    page = (tmp_path / "out" / "report" / "report.md").read_text(encoding="utf-8")
    assert "is left out" not in page


def test_scores_of_a_file_become_an_objective_by_their_column(frontier, write, answers, tmp_path):
    rows = [{**row, "reward": n / 10} for n, row in enumerate(answers(0))]
    reward = "reward={column: reward, direction: maximize, bounds: [0, 1], role: user}"
    assert frontier(write("a.jsonl", rows), "--objective", reward)[0] == 0
    items = records(tmp_path).items
    assert sorted(items[items.objective == "reward"].value) == [n / 10 for n in range(6)]
    assert items[items.objective == "reward"]["item"].isin(items[items.objective == "length"]["item"]).all()


def test_a_table_of_scores_needs_no_text(frontier, tmp_path):
    table = pd.DataFrame(
        {"row": [1, 2, 3] * 2, "model": ["a"] * 3 + ["b"] * 3, "help": [0.5, 1.0, float("nan"), 0, 0, 9]}
    )
    table.to_csv(tmp_path / "table.csv", index=False)
    help_ = "help={column: help, direction: maximize, bounds: [0, 1], role: user}"
    code, said = frontier(tmp_path / "table.csv", "--objective", help_)
    assert code == 0, said
    found = records(tmp_path)
    cells = found.cells.set_index("cell").label
    statuses = {
        (cells[row.cell], row["item"]): (row.status, json.loads(row.detail).get("reason"))
        for _, row in found.items.iterrows()
    }
    assert statuses["a", "3#0"] == ("error", "no finite number")
    assert statuses["b", "3#0"] == ("error", "9 is outside the bounds [0, 1]")
    assert statuses["a", "1#0"] == ("ok", None) and len(statuses) == 6


@pytest.mark.parametrize(
    ("rows", "words", "message"),
    [
        ([], (), "holds no row"),
        ([{"text": "no prompt"}], (), "of no known form of results; the row has text"),
        ([{"prompt": "Q", "output": 3}], (), ":1: 'output' is not text: a number: 3"),
        ([{"id": "x", "score": 1}, {"id": "x", "score": 2}], ("--objective", "s={column: score, direction: maximize, bounds: [0, 9]}"),
         ":2: 'x' is there twice (first at"),
        ([{"prompt": "A", "output": "b", "id": 1}, {"prompt": "B", "output": "b", "id": 1}], (), "'1' is the id of another prompt"),
        ([{"id": "x", "score": 1}], (), "holds scores of score, and none of them is an objective"),
        ([{"prompt": "A", "output": "b"}], ("--objective", "exclaim"), "--objective exclaim: write it as"),
        ([{"prompt": "A", "output": "b"}], ("--objective", "x={regexp: '!', direction: minimize, bounds: [0, 1]}"),
         "unknown key 'regexp'; did you mean 'regex'?"),
        ([{"prompt": "A", "output": "b"}], ("--objective", "x={regex: '!', direction: minimize, bounds: [1, 0]}"),
         "objectives.x.bounds: should be [low, high], not [1.0, 0.0]"),
        ([{"prompt": "A", "output": "b"}], ("--objective", "toxicity={regex: '!', direction: minimize, bounds: [0, 1]}"),
         "objectives.toxicity: is a shipped objective; choose another name"),
        ([{"prompt": "A", "output": "b"}], ("--objective", "x={python: 'no.py:f', direction: minimize, bounds: [0, 1]}"),
         "objectives.x.python: no.py: no such file or folder"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(frontier, write, rows, words, message):
    code, said = frontier(write("file.jsonl", rows), *words)
    assert code in (3, 4, 5) and message in said, said
    assert "Traceback" not in said


def test_a_file_for_other_prompts_is_one_line(frontier, write, answers):
    prompts = write("prompts.jsonl", [{"prompt": prompt} for prompt in PROMPTS])
    others = answers(0, prompts=["Something else?", "And this?"])
    code, said = frontier(write("good.jsonl", answers(0)), write("other.jsonl", others), "--prompts", prompts)
    assert code == 3
    assert "none of its 2 rows is to one of the 6 evaluation prompts; its first prompt is 'Something else?'" in said
    assert "measured 1 of 2 cells" in said


def test_rows_to_other_prompts_are_counted(frontier, write, answers):
    prompts = write("prompts.jsonl", [{"prompt": prompt} for prompt in PROMPTS[:4]])
    code, said = frontier(write("a.jsonl", answers(0)), "--prompts", prompts)
    assert code == 0 and "rows left out of the data: 2 × a row to a prompt that is not evaluated (a)" in said


def test_another_file_with_the_same_prompts_runs_nothing_again(write, answers, tmp_path):
    files = [str(write(name, answers(marks))) for name, marks in (("a.jsonl", 0), ("b.jsonl", 1))]
    alone, both = (
        make_plan(load(str(write_experiment(some, tmp_path / "out", None, [], None)))) for some in (files[:1], files)
    )
    assert len(alone.stages) == 3 and alone.stages.keys() < both.stages.keys()


@pytest.mark.skipif(not MODELS.is_dir(), reason=f"{MODELS} is not there")
def test_published_outputs_are_read_as_they_are(frontier, tmp_path):
    files = [MODELS / f"{name}.jsonl.gz" for name in ("davinci", "text-davinci-003")]
    code, said = frontier(*files, "--objective", MARKS, "--suite", "style")
    assert code == 0 and "text-davinci-003: 252 of 252 prompts, 252 rows" in said
    found = records(tmp_path)
    cell = found.cells[found.cells.label == "davinci"].cell.item()
    with gzip.open(files[0], "rt", encoding="utf-8") as file:
        marks = [json.loads(line)["output"].count("!") for line in file]
    items = found.items[(found.items.cell == cell) & (found.items.objective == "exclamations")]
    within = sorted(float(count) for count in marks if count <= 3)
    assert sorted(items.value[items.status == "ok"])[-10:] == within[-10:]
