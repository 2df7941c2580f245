"""Published benchmarks in an experiment: resolution before the run, scores by cell, comparison with the base."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pandas as pd
import pytest
import yaml

from harness.errors import UsageError
from harness.plan.cells import BASE, make_plan
from harness.records import ItemScore, Status, to_frame
from harness.run.assemble import alignment_tax
from harness.spec.loading import load
from tests.paths import TOY

QUESTIONS = [
    {"goal": f"open a can {n}", "sol1": "use an opener", "sol2": "sing to it", "label": n % 2} for n in range(6)
]


@pytest.fixture
def experiment(tmp_path):
    """The toy experiment with a benchmark on made-up questions; returns a function that overrides its section."""
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in QUESTIONS))

    def make(**benchmarks):
        section = {"tasks": ["piqa"], "data": str(tmp_path)} | benchmarks
        file = tmp_path / "experiment.yaml"
        file.write_text(yaml.safe_dump({"extends": TOY, "benchmarks": section}))
        return load(str(file))

    return make


def stages(experiment, kind="score_benchmark"):
    return [stage for stage in make_plan(experiment).stages.values() if stage.kind == kind]


def test_the_files_bytes_are_part_of_the_key(experiment, tmp_path):
    before = {stage.key for stage in stages(experiment())}
    (tmp_path / "sets" / "piqa.jsonl").rename(tmp_path / "sets" / "piqa.jsonl.moved")
    moved = experiment(data={"piqa": str(tmp_path / "sets" / "piqa.jsonl.moved")})
    assert {stage.key for stage in stages(moved)} == before
    (tmp_path / "sets" / "piqa.jsonl.moved").write_text(json.dumps(QUESTIONS[0]))
    assert not {stage.key for stage in stages(moved)} & before


@pytest.mark.parametrize(
    ("benchmarks", "message"),
    [
        ({"tasks": ["pika"]}, "benchmarks.tasks: unknown benchmark 'pika'; did you mean 'piqa'?"),
        (
            {"tasks": ["mmlu_anatomi"]},
            "benchmarks.tasks: unknown benchmark 'mmlu_anatomi'; did you mean 'mmlu_anatomy'?",
        ),
        ({"tasks": ["humaneval"]}, "benchmarks.tasks: humaneval runs programs that the model writes"),
        ({"data": "nowhere"}, "benchmarks.data: nowhere: no such folder"),
        ({"tasks": ["gsm8k"]}, "has no file gsm8k/test.jsonl"),
        ({"data": {"piqa": "nowhere.jsonl"}}, "benchmarks.data.piqa.items: nowhere.jsonl: no such file"),
        ({"data": {"gsm8k": "x"}}, "benchmarks.data: 'gsm8k' is not among the benchmarks"),
        ({"fewshot": {"pika": 1}}, "benchmarks.fewshot: 'pika' is not among the benchmarks; did you mean 'piqa'?"),
        ({"fewshot": 3}, "benchmarks.data: piqa is to show 3 examples, and no file holds any"),
    ],
)
def test_a_mistake_is_told_before_anything_runs(experiment, benchmarks, message):
    with pytest.raises(UsageError) as error:
        make_plan(experiment(**benchmarks))
    assert message in str(error.value)


def test_benchmarks_that_nothing_runs(experiment):
    lacking = experiment().model_copy(update={"suites": ["win_rate", "toxicity", "style"]})
    with pytest.raises(UsageError, match="add 'benchmark' to 'suites'"):
        make_plan(lacking)


def test_the_stage_measures_every_question(tmp_path, experiment):
    from harness.stages import score_benchmark
    from trainers.config import ModelConfig
    from trainers.data.tokenizer import bpe_tokenizer
    from trainers.model.loading import make

    checkpoint = tmp_path / "policy" / "checkpoint"
    tokenizer = bpe_tokenizer([json.dumps(row) for row in QUESTIONS], 300, checkpoint)
    config = ModelConfig(layers=1, hidden=8, heads=2, intermediate=16, context=256)
    make(config, tokenizer, seed=0).save_pretrained(checkpoint)
    stage = stages(experiment(limit=4))[0]
    inputs = {"policy": tmp_path / "policy", "piqa/items": stage.inputs["piqa/items"].path}
    out = tmp_path / "out"
    out.mkdir()
    score_benchmark.run({**stage.parameters, **stage.settings}, inputs, out)
    items = pd.read_parquet(out / "items.parquet")
    assert items["item"].tolist() == [f"piqa/{n}" for n in range(4)]
    assert set(items.objective) == {"piqa"} and set(items.value) <= {0.0, 1.0}


def cell(name, entry, seed=0, size="s"):
    return SimpleNamespace(cell=name, entry=entry, seed=seed, size=size)


def score(cell, item, value, objective="piqa", status=Status.OK):
    return ItemScore(objective, item, item, value, status, cell=cell)


def test_alignment_tax_is_paired_by_question_seed_and_size():
    cells = [
        cell("b0", BASE),
        cell("b1", BASE, 1),
        cell("d0", "dpo"),
        cell("d1", "dpo", 1),
        cell("o", "dpo", 0, "other"),
    ]
    items = to_frame(
        [
            *(score("b0", f"piqa/{n}", float(value)) for n, value in enumerate([1, 1, 0, 0])),
            *(score("d0", f"piqa/{n}", float(value)) for n, value in enumerate([1, 0, 1, 0])),
            score("b1", "piqa/0", 0.0),
            score("d1", "piqa/0", 1.0),
            score("o", "piqa/0", 1.0),
            score("d0", "p0", 0.5, objective="win_rate"),
            score("b0", "p0", 0.5, objective="win_rate"),
            score("b0", "hellaswag/0", 1.0, "hellaswag"),
            score("d0", "hellaswag/0", None, "hellaswag", Status.ERROR),
        ]
    )
    tax = alignment_tax(cells, items)
    assert list(tax.columns) == list(items.columns) and set(tax.objective) == {"alignment_tax"}
    of = {name: rows.set_index("item").value for name, rows in tax.groupby("cell")}
    assert of["d0"][[f"piqa/{n}" for n in range(4)]].tolist() == [0.0, 1.0, -1.0, 0.0]
    assert of["d1"].to_dict() == {"piqa/0": -1.0}
    assert (of["b0"] == 0).all() and "o" not in of
    lost = tax[(tax.cell == "d0") & (tax.item == "hellaswag/0")].iloc[0]
    assert pd.isna(lost.value) and lost.status == Status.ERROR


def test_a_benchmark_that_the_reference_point_names_is_on_the_frontier():
    from harness.run.assemble import _objectives
    from suites.registry import objectives

    measured = {"win_rate", "alignment_tax", "piqa"}
    found = {o.name: o for o in _objectives({"win_rate": 0.0, "alignment_tax": 1.0}, measured, objectives())}
    assert (found["alignment_tax"].role, found["alignment_tax"].direction) == ("designer", "minimize")
    assert found["piqa"].role == "benchmark"
