"""The verb ``init``: the file that it writes is planned and run, on a base, data and objectives of one's own."""

from __future__ import annotations

import io
import json
import math

import pandas as pd
import pytest

from harness.plan.cells import make_plan
from harness.run.data_sources import data_sources, described
from harness.run.executors import executors  # noqa: F401  # registers what a job's stages may need
from harness.run.job import Job, execute
from harness.spec.loading import load
from harness.store.store import Store
from reports.page.markdown import data_notes
from tests.chat_model import save_chat_model
from tests.harness.data.conftest import safe_rows

SAFE = "safe={column: safe, direction: maximize, bounds: [0, 1]}"
MARKS = "marks={regex: '!', direction: minimize, bounds: [0, 10]}"
TINY = [
    "data.pairs=16", "data.test_prompts=3", "decoding.max_new_tokens=4", "methods={upo: {parameters: {aux_warmup: 1}}}",
    "suites=[style]", "training.max_tokens=96", "training.max_prompt_tokens=64",
]  # fmt: skip
"""What makes a run of a written file last seconds."""


@pytest.fixture
def written(prefrontier, write, tmp_path):
    """An experiment that the verb wrote for a small chat model, on scores of the data and an own objective."""
    file, model = write("door.jsonl", safe_rows()), save_chat_model(tmp_path / "model")
    mine = tmp_path / "mine.yaml"
    words = ["--model", model, "--data", file, "--objective", SAFE, "--objective", MARKS, "--out", mine]
    code, said = prefrontier("init", *words)
    assert code == 0 and "mine.yaml: 5 policies; `prefrontier plan " in said
    return mine


def test_the_written_file_runs_with_scores_of_the_data_and_an_own_objective_as_rewards(written, tmp_path):
    assert load(str(written)).rewards == {"safe": 0.5, "marks": 0.5}
    assert max(map(len, written.read_text().splitlines())) < 250
    plan, store = make_plan(load(str(written), TINY)), Store(tmp_path / "store")
    for stage in plan.stages.values():
        execute(Job.of(stage, store))
    _check_rewards(store.root)
    policy = next(cell for cell in plan.cells if cell.trained)
    trained = json.loads((store.path(policy.policy.key) / "result.json").read_text(encoding="utf-8"))
    assert trained["tokens"] > 0 and all(math.isfinite(value) for _, _, value in trained["curve"])
    items = pd.read_parquet(store.path(policy.scores["marks"].key) / "items.parquet")
    assert len(items) == 3 and items.value.between(0, 10).all()
    (source,) = data_sources(plan, store)
    assert str(source).startswith("preference pairs door.jsonl, read as: PKU-SafeRLHF's pairs on two axes")
    assert str(source).endswith("licence: CC-BY-NC-4.0 by the publisher of data in this form, non-commercial use only")
    assert data_notes({"data_sources": [described(source)]}) == [f"Data: {source}."]


@pytest.mark.slow
def test_the_report_and_the_manifest_state_the_data(prefrontier, written, tmp_path):
    out = ["--out", tmp_path / "out", "--store", tmp_path / "store", "--workers", 1]
    code, said = prefrontier("run", written, *(word for override in TINY for word in ("--set", override)), *out)
    assert code == 0 and "preference pairs door.jsonl, read as: PKU-SafeRLHF's pairs on two axes" in said, said
    (source,) = json.loads((tmp_path / "out" / "manifest.json").read_text(encoding="utf-8"))["data_sources"]
    assert source["non_commercial"] and source["terms"]["licence"] == "CC-BY-NC-4.0"
    for report in ("report.md", "index.html"):
        assert "non-commercial use only" in (tmp_path / "out" / "report" / report).read_text(encoding="utf-8")


def _check_rewards(store):
    """The table that the method was trained on: scores of the data, and the regular expression's rate over its bounds."""
    (rewards,) = (pd.read_parquet(path) for path in store.rglob("rewards.parquet"))
    (file,) = (path for path in store.rglob("pairs.jsonl") if (path.parent / "corpus.jsonl").exists())
    pairs = {pair["id"]: pair for pair in map(json.loads, file.read_text().splitlines())}
    assert len(rewards) == 2 * len(pairs) == 32
    for row in rewards.itertuples():
        marks = str(pairs[row.id][row.response]).count("!")
        assert row.safe == (0.0 if row.response == "chosen" else 1.0)
        assert row.marks == pytest.approx(1 - marks / 10)
    assert rewards.marks.nunique() > 1


@pytest.mark.parametrize(
    "objectives", [[], ["--objective", "readability", "--objective", MARKS], ["--objective", "toxicity"]]
)
def test_a_file_without_a_model_makes_a_base(prefrontier, write, tmp_path, objectives):
    mine = tmp_path / "mine.yaml"
    code, said = prefrontier("init", "--data", write("door.jsonl", safe_rows()), *objectives, "--out", mine)
    assert code == 0, said
    written = load(str(mine))
    assert written.sizes["small"].architecture == "llama" and sum(written.rewards.values()) == pytest.approx(1)
    assert set(written.reference_point) == {"win_rate", *written.rewards}


def test_a_terminal_is_asked(prefrontier, write, tmp_path, monkeypatch):
    mine = tmp_path / "asked.yaml"
    monkeypatch.setattr("sys.stdin", type("Terminal", (io.StringIO,), {"isatty": lambda self: True})(
        f"{write('door.jsonl', safe_rows())}\n\n\n{mine}\n"
    ))  # fmt: skip
    code, said = prefrontier("init")
    assert code == 0, said
    assert load(str(mine)).rewards == {"readability": 1.0}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "--data: is missing"),
        (["--data", "absent.csv"], "absent.csv: no such file"),
        (["--data", "FILE", "--objective", "readibility"], "no shipped objective; did you mean 'readability'?"),
        (["--data", "FILE", "--objective", "safe={column: saef, direction: maximize, bounds: [0, 1]}"], "did you mean 'safe'?"),
        (["--data", "FILE", "--out", "mine.txt"], "--out mine.txt: an experiment is a .yaml file"),
        (["--data", "FILE", "--model", "./absent"], "sizes.base.model: ./absent: no such folder"),
        (["--data", "SHORT"], "too few conversations for every role"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_written(prefrontier, write, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    files = {"FILE": write("door.jsonl", safe_rows()), "SHORT": write("short.jsonl", safe_rows(2))}
    code, said = prefrontier("init", *(files.get(word, word) for word in words))
    assert code == 4 and message in said and len(said.splitlines()) == 1
    assert not list(tmp_path.glob("*.yaml"))


def test_a_file_that_exists_is_left_alone(prefrontier, write, tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    code, said = prefrontier("init", "--data", write("door.jsonl", safe_rows()), "--out", tmp_path / "mine.yaml")
    assert code == 4 and "exists already" in said and (tmp_path / "mine.yaml").read_text() == "mine"
