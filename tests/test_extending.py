"""The examples of docs/extending.md: each is written to the file it names in a copy of the project and put to use."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.documents import files, python
from tests.paths import ROOT

PACKAGES = ("prefrontier", "harness", "trainers", "suites", "reports", "tests")
FILES = files("extending.md")


@pytest.fixture(scope="module")
def extended(tmp_path_factory) -> Path:
    """A copy of the project with every example in its place."""
    copy = tmp_path_factory.mktemp("extended") / "project"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copy)
    for path, text in FILES.items():
        assert not (copy / path).exists(), path
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_text(text, encoding="utf-8")
    (experiment,) = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), flags=re.S)
    (copy / "mine.yaml").write_text(experiment, encoding="utf-8")
    return copy


def test_the_examples_pass_the_contract_tests(extended):
    """New files are found by themselves: their tests are collected by name."""
    tests = ["tests/trainers/methods/test_contract.py", "tests/trainers/data_steps"]
    result = python(["-m", "pytest", "-q", "-p", "no:cacheprovider", *tests, "-k", "example"], extended, PYTHONPATH=".")
    assert result.returncode == 0, result.stdout
    assert re.search(r"\b[1-9]\d* passed", result.stdout), result.stdout


def test_the_catalogue_has_the_examples(extended):
    page = python(["-m", "trainers.methods", "page.md"], extended, PYTHONPATH=".")
    assert page.returncode == 0, page.stderr
    text = (extended / "page.md").read_text(encoding="utf-8")
    assert "[`example_hinge`](#example_hinge)" in text and "[`example_length_filter`](#example_length_filter)" in text


def test_the_experiment_measures_and_rewards_with_the_examples(extended):
    plan = python(["-m", "prefrontier", "plan", "mine.yaml"], extended, PYTHONPATH=".")
    assert plan.returncode == 0, plan.stderr
    assert re.search(r"^score_win_rate +\d+", plan.stdout, flags=re.M), plan.stdout
    assert re.search(r"^score_example_politeness +\d+", plan.stdout, flags=re.M), plan.stdout
    assert re.search(r"^score_sure +\d+", plan.stdout, flags=re.M), plan.stdout
    assert "hinge loss" in plan.stdout and "example_politeness 0.5" in plan.stdout


def test_the_form_is_checked_and_reads_pairs(extended):
    (extended / "ratings.jsonl").write_text(
        '{"id": 1, "question": "Q", "answer_a": "A", "answer_b": "B", "stars_a": "1", "stars_b": 5}\n'
        '{"id": 2, "question": "Q", "answer_a": "A", "answer_b": "B", "stars_a": 3, "stars_b": 3}\n',
        encoding="utf-8",
    )
    code = (
        "from trainers.data.records import read_mixture\n"
        "pairs = read_mixture([('ratings.jsonl', 'train', 'example_ratings')])\n"
        "print([(pair.chosen, pair.rejected) for pair in pairs], dict(pairs.dropped))\n"
    )
    result = python(["-c", code], extended, PYTHONPATH=".")
    assert result.stdout.strip() == "[(' B', ' A')] {'equal ratings': 1}", result.stderr


def test_the_scorer_scores_and_the_form_of_results_is_read(extended):
    (extended / "stars.jsonl").write_text('{"question": "Q", "reply": "sure, yes", "stars": "4"}\n', encoding="utf-8")
    code = (
        "from pathlib import Path\n"
        "from harness.inputs.results import read_results\n"
        "from suites.custom import Running, create, kinds\n"
        "form, (result,) = read_results(Path('stars.jsonl'))\n"
        "scorer = create('example_starts', {'example_starts': 'Sure'}) if kinds() else None\n"
        "print(form.name, result.scores, scorer.score([''] * 2, [result.response, 'No.'], Running()))\n"
    )
    result = python(["-c", code], extended, PYTHONPATH=".")
    scored = "[Scored(value=1.0, reason='', cost=0.0), Scored(value=0.0, reason='', cost=0.0)]"
    assert result.stdout.strip() == f"example_stars {{'stars': 4.0}} {scored}", result.stderr


def test_the_suite_keeps_a_row_for_every_generation(extended):
    code = (
        "from harness.records import Generation, Status\n"
        "from suites.example_politeness.suite import score\n"
        "texts = ['Please wait.', 'No.', '']\n"
        "items, _ = score([Generation(str(n), str(n), 'q', text, 1) for n, text in enumerate(texts)])\n"
        "print([(item.value, item.status.value) for item in items])\n"
    )
    result = python(["-c", code], extended, PYTHONPATH=".")
    assert result.stdout.strip() == "[(1.0, 'ok'), (0.0, 'ok'), (0.0, 'empty')]", result.stderr


def test_the_judge_prefers_and_draws(extended):
    code = (
        "from suites.judges.registry import JudgeSetup, judges\n"
        "judge = judges()['example_overlap'].load(JudgeSetup())\n"
        "verdicts = judge.prefer(['red car'] * 3, ['a car', 'no', 'red'], ['no', 'my red car', 'car'])\n"
        "print([verdict.p_first for verdict in verdicts])\n"
    )
    result = python(["-c", code], extended, PYTHONPATH=".")
    assert result.stdout.strip() == "[1.0, 0.0, 0.5]", result.stderr


def test_the_executor_runs_a_stage_and_passes_its_error_on(extended):
    code = (
        "from pathlib import Path\n"
        "from harness.plan.cells import make_plan\n"
        "from harness.run.executors import ExecutorSetup, find_executor\n"
        "from harness.run.job import Job\n"
        "from harness.spec.loading import load\n"
        "from harness.store.store import Store\n"
        "stages = {stage.kind: stage for stage in make_plan(load('bench', ['data.corpus=50'])).stages.values()}\n"
        "store = Store(Path('store'))\n"
        "with find_executor('example_serial')(ExecutorSetup(1, Path('logs'))) as executor:\n"
        "    early = executor.submit(Job.of(stages['tokenizer'], store))\n"
        "    made = executor.submit(Job.of(stages['world'], store))\n"
        "print(type(early.exception()).__name__, made.result() > 0, store.has(stages['world'].key))\n"
    )
    result = python(["-c", code], extended, PYTHONPATH=".")
    assert result.stdout.strip() == "FileNotFoundError True True", result.stderr
