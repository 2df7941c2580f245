"""The paper's experiments: plans, downloads, and the same plan in miniature."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time

import pandas as pd
import pytest

from harness.cli.main import app
from harness.errors import UsageError
from harness.plan.cells import BASE, make_plan
from harness.plan.estimate import gpu_hours, n_parameters
from harness.run.downloads import Download, downloads, fetch, named
from harness.spec.loading import load
from harness.store.store import Store
from tests.paths import SHARED

PAPERS = ("paper-upo-pythia", "paper-upo-llama")


@pytest.fixture
def local(tmp_path):
    """Overrides that put files in the place of the hub's data and labels."""
    pairs, labels = tmp_path / "pairs.jsonl", tmp_path / "comments.csv"
    pairs.write_text("".join(json.dumps({"prompt": f"\n\nHuman: {n}\n\nAssistant:", "chosen": " y", "rejected": " n"}) + "\n" for n in range(9)))  # fmt: skip
    labels.write_text("text,toxic\nhello,0\n")
    return ["scale=tiny", f"data.path={pairs}", f"toxicity.labelled={labels}"]


@pytest.mark.parametrize("name", PAPERS)
def test_the_miniature_is_the_same_plan(name, local, tmp_path):
    """Every entry, trial and size of the paper's plan is in the small one; only what they are made of differs."""
    full, tiny = make_plan(load(name)), make_plan(load(name, local))
    cells = [{(cell.entry, cell.label, cell.size, cell.seed) for cell in plan.cells} for plan in (full, tiny)]
    assert cells[0] == cells[1]
    assert set(full.experiment.suites) == set(tiny.experiment.suites)
    assert named(tiny, Store(tmp_path)) == []
    assert "stand-ins" in tiny.experiment.caveat and "mean nothing" in tiny.experiment.published.note


@pytest.mark.slow
@pytest.mark.parametrize("name", PAPERS)
def test_the_miniature_runs_to_its_report_in_minutes(name, tmp_path):
    """The real HH pairs and labelled texts, and models of the same architectures with random weights."""
    pairs, labels = SHARED / "hh_rlhf" / "pairs.jsonl.gz", SHARED / "toxicity_labelled" / "davidson_tweets.csv.gz"
    if not (pairs.exists() and labels.exists()):
        pytest.skip(f"hh_rlhf and toxicity_labelled are not at {SHARED} (PREFRONTIER_SHARED_DATA names another folder)")
    settings = ["scale=tiny", f"data.path={pairs}", f"toxicity.labelled={labels}"]
    command = [sys.executable, "-m", "harness", "run", name, "--out", tmp_path / "run", "--store", tmp_path / "store"]
    started = time.monotonic()
    done = subprocess.run(
        [*command, *(part for one in settings for part in ("--set", one))], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert time.monotonic() - started < 15 * 60
    cells = pd.read_parquet(tmp_path / "run" / "records" / "cells.parquet")
    assert len(cells) == len(make_plan(load(name, settings)).cells) and set(cells.status) == {"ok"}
    report = (tmp_path / "run" / "report" / "report.md").read_text()
    assert "Published and measured" in report and "stand-ins" in report
    assert "Categories less safe than the reference response" in report and "eadability" in report


def test_what_the_paper_quotes_belongs_to_planned_points():
    plans = [make_plan(load(name)) for name in PAPERS]
    assert plans[0].experiment.published == plans[1].experiment.published
    planned = {cell.label for cell in plans[0].cells if cell.entry != BASE} | {BASE}
    sizes = {size for plan in plans for size in plan.experiment.sizes}
    for figures in plans[0].experiment.published.values.values():
        for label, values in figures.items():
            assert label in planned, label
            assert set(values) <= sizes and all(0 < value < 1 for value in values.values())


def test_the_paper_names_its_downloads(tmp_path):
    named_downloads = [str(wanted) for wanted in named(make_plan(load("paper-upo-pythia")), Store(tmp_path))]
    assert named_downloads == [
        "dataset Anthropic/hh-rlhf",
        "dataset OpenAssistant/oasst1",
        "dataset stanfordnlp/SHP",
        "model ContextualAI/archangel_sft_pythia1-4b",
        "model ContextualAI/archangel_sft_pythia2-8b",
        "model ContextualAI/archangel_sft_pythia6-9b",
        "model roberta-base",
        "toxicity model unbiased",
    ]


def test_benchmarks_without_files_are_downloads(tmp_path):
    experiment = load("bench")
    raw = experiment.model_dump(by_alias=True) | {"benchmarks": {"tasks": ["mmlu_anatomy", "truthfulqa_mc2", "piqa"]}}
    plan = make_plan(type(experiment).model_validate(raw))
    assert named(plan, Store(tmp_path)) == [
        Download("dataset", "baber/piqa"),
        Download("dataset", "cais/mmlu", "anatomy"),
        Download("dataset", "truthfulqa/truthful_qa", "multiple_choice"),
    ]
    assert downloads(plan, Store(tmp_path)) == named(plan, Store(tmp_path))


def test_cost_of_the_paper_is_arithmetic():
    """6 FLOPs a weight and token."""
    plan = make_plan(load("paper-upo-pythia"))
    align = next(
        stage for stage in plan.stages.values() if stage.kind == "align" and stage.label.startswith("dpo 6-9b")
    )
    assert n_parameters(align) == 6_900_000_000
    tokens = 480_000 * (120 + 2 * 60)
    assert gpu_hours(align) == pytest.approx(6 * 6.9e9 * tokens / (312e12 * 0.35) / 3600)


@pytest.mark.parametrize(
    ("name", "sizes"), [("paper-upo-pythia", ("1-4b", "2-8b", "6-9b")), ("paper-upo-llama", ("7b", "13b"))]
)
def test_a_dry_run_tells_what_it_would_take(name, sizes, tmp_path, capsys):
    """Stages, GPU time, memory, the judge's bill and what must be downloaded; and nothing is made."""
    arguments = ["run", name, "--dry-run", "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        app(arguments)
    told = capsys.readouterr().out
    lines = told.splitlines()
    assert ended.value.code == 0 and list(tmp_path.iterdir()) == []
    assert "stage" in told and "A100 time" in told and any(line.startswith("align ") for line in lines)
    (peaks,) = [line for line in lines if line.startswith("peak memory of training")]
    assert all(re.search(rf"{size} \d+\.\d GiB", peaks) for size in sizes)
    (bill,) = [line for line in lines if line.startswith("judge gpt-4-turbo-2024-04-09: ")]
    assert re.search(r"questions, about .* tokens in and at most .* out: \$[\d.,]+ \(cap \$", bill)
    assert any(re.fullmatch(r"to do: about (\d+ days?, )?\d+:\d\d:\d\d of one A100 \(rough\)", line) for line in lines)
    wanted = named(make_plan(load(name)), Store(tmp_path))
    assert [line for line in lines if line.startswith("to download")] == [f"to download: {one}" for one in wanted]


@pytest.mark.parametrize("kind", ["dataset", "model", "toxicity model"])
def test_no_network_is_told_in_one_line(kind, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UsageError) as error:
        fetch(Download(kind, "nobody/nothing-at-all"))
    text = str(error.value)
    assert text.startswith(f"{kind} nobody/nothing-at-all: ") and "\n" not in text and len(text) < 400


def test_prefetch_goes_on_after_a_failure_and_says_how_many(monkeypatch, tmp_path, capsys):
    import harness.cli.prefetch as verb

    plan = make_plan(load("paper-upo-llama"))
    got = []

    def fetch(wanted):
        if wanted.kind == "dataset":
            raise UsageError(f"{wanted}: no network")
        got.append(wanted.name)

    monkeypatch.setattr(verb, "fetch", fetch)
    with pytest.raises(UsageError, match="3 of 7 could not be had"):
        verb.prefetch(plan, Store(tmp_path), list_only=False)
    models = ["ContextualAI/archangel_sft_llama13b", "ContextualAI/archangel_sft_llama7b"]
    assert got == [*models, "roberta-base", "unbiased"]
    assert "FAIL dataset stanfordnlp/SHP: no network" in capsys.readouterr().out
    assert verb.prefetch(plan, Store(tmp_path), list_only=True).exit == 0
    assert "need dataset stanfordnlp/SHP" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("paper-upo-pythia", ["scale=tinny"], "--set scale=tinny: no such scale; did you mean 'tiny'?"),
        ("bench", ["scale=tiny"], "bench names none under 'scales'"),
        ("paper-upo-pythia", ["data.path=x/y"], "give either 'path' or 'mixture'"),
        (
            "paper-upo-pythia",
            ["data.mixture=[{path: a/b, form: shq}]"],
            "form: unknown form of data 'shq'; did you mean 'shp'?",
        ),
        ("paper-upo-pythia", ["methods.upo_w20.rewards={toxicity: 0.5}"], "the weights add up to 0.5, not 1"),
        (
            "paper-upo-pythia",
            ["methods.upo_w20.rewards={kindness: 1}"],
            "methods.upo_w20.rewards: 'kindness' is not among",
        ),
    ],
)
def test_mistakes(name, overrides, message):
    with pytest.raises(UsageError) as error:
        load(name, overrides)
    assert message in str(error.value)


def test_two_entries_that_are_one_policy_are_refused():
    experiment = load("bench", ["methods={dpo: {sweep: {beta: [0.1]}}, again: {method: dpo, sweep: {beta: [0.1]}}}"])
    with pytest.raises(UsageError, match="methods: dpo beta=0.1 and again beta=0.1 are the same policy"):
        make_plan(experiment)


def test_weights_of_an_entry_reach_its_training():
    plan = make_plan(load("paper-upo-pythia"))
    weights = {cell.entry: cell.policy.parameters.get("weights") for cell in plan.cells}
    assert weights["upo"] == {"toxicity": 0.95, "readability": 0.05}
    assert weights["upo_w70"] == {"toxicity": 0.3, "readability": 0.7}
    # One for each base: whether its chat template changes the data is known when it runs.
    rewards = {stage.key for stage in plan.stages.values() if stage.kind == "rewards"}
    assert len(rewards) == len(plan.experiment.sizes)


def test_a_scale_yields_to_other_overrides(local):
    assert load("paper-upo-pythia", [*local[1:], "decoding.max_new_tokens=7", local[0]]).decoding.max_new_tokens == 7
