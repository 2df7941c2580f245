"""lm-eval's own task definitions on local files, with the figures of its command line."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from suites.benchmarks.rows import hellaswag, read_rows
from suites.benchmarks.runner import benchmark
from suites.benchmarks.tasks import BENCHMARKS, find_files, tasks_of, write_tasks
from tests.paths import SHARED

DATA = SHARED
needs_data = pytest.mark.skipif(not (DATA / "gsm8k").is_dir(), reason=f"{DATA} has no benchmark items")
ONE_EACH = [
    "gsm8k",
    "bbh_cot_fewshot_navigate",
    "truthfulqa_mc1",
    "truthfulqa_mc2",
    "truthfulqa_gen",
    "hellaswag",
    "mmlu_anatomy",
    "mmlu_virology",
    "winogrande",
    "piqa",
    "openbookqa",
    "lambada_openai",
]


@pytest.fixture(scope="session")
def gpt2_checkpoint(tmp_path_factory):
    """A small Llama with random weights and GPT-2's tokenizer, wide enough for real questions."""
    import torch
    from transformers import GPT2Tokenizer, LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("gpt2-llama")
    source = DATA / "tokenizers" / "gpt2"
    tokenizer = GPT2Tokenizer(str(source / "vocab.json"), str(source / "merges.txt"))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        max_position_embeddings=1536, bos_token_id=50256, eos_token_id=50256, pad_token_id=50256, initializer_range=0.5,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def local_tasks(names, folder, fewshot=None):
    files = {found.name: find_files(found, DATA) for found in tasks_of(names).values()}
    return write_tasks(names, files, folder, fewshot)


def command_line(checkpoint, folder: Path, tasks, limit: int, out: Path, call) -> dict[str, list[dict]]:
    """The samples that lm-eval's command line logs for the same folder of tasks."""
    arguments = ["--model", "hf", "--model_args", f"pretrained={checkpoint}", "--device", "cpu", "--batch_size", "4"]
    arguments += ["--tasks", ",".join(tasks), "--include_path", str(folder), "--limit", str(limit)]
    call(["lm_eval", "run", *arguments, "--log_samples", "--output_path", str(out)])
    files = {task: next(out.rglob(f"samples_{task}_*.jsonl")) for task in tasks}
    return {task: [json.loads(line) for line in file.read_text().splitlines()] for task, file in files.items()}


def as_a_program(arguments) -> None:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TQDM_DISABLE": "1"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def in_this_process(arguments) -> None:
    """The command line's own entry point, spared its second import of torch and the index of its 14,000 other tasks."""
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.tasks import TaskManager

    from suites.isolation import contained_logging, contained_seeds

    made = TaskManager.__init__
    with pytest.MonkeyPatch.context() as patch, contained_logging(), contained_seeds():
        patch.setattr(sys, "argv", arguments)
        patch.setattr(TaskManager, "__init__", lambda self, *a, **k: made(self, *a, **{**k, "include_defaults": False}))
        cli_evaluate()


def assert_same_item_by_item(checkpoint, names, limit, tmp_path, call, fewshot=None):
    tasks = local_tasks(names, tmp_path / "tasks", fewshot)
    ours = benchmark(checkpoint, tmp_path / "tasks", tasks, limit=limit, batch_size=4)
    theirs = command_line(checkpoint, tmp_path / "tasks", tasks, limit, tmp_path / "out", call)
    expected = {}
    for task, samples in theirs.items():
        metric = tasks_of([task])[task].metric
        first = [sample for sample in samples if sample["filter"] == samples[0]["filter"]]
        expected |= {f"{task}/{sample['doc_id']}": sample[metric] for sample in first}
    assert {item.item: item.value for item in ours} == expected
    assert len(ours) == limit * len(tasks)
    return ours


@needs_data
def test_the_same_figures_as_the_command_line(gpt2_checkpoint, tmp_path):
    items = assert_same_item_by_item(gpt2_checkpoint, ["piqa", "truthfulqa_mc2"], 12, tmp_path, in_this_process)
    assert {0.0, 1.0} == {item.value for item in items if item.objective == "piqa"}
    assert len({item.value for item in items if item.objective == "truthfulqa_mc2"}) == 12


@needs_data
@pytest.mark.slow
@pytest.mark.parametrize("names, limit", [(ONE_EACH, 6)])
def test_the_same_figures_as_the_command_line_for_every_benchmark(gpt2_checkpoint, tmp_path, names, limit):
    items = assert_same_item_by_item(gpt2_checkpoint, names, limit, tmp_path, as_a_program, {"mmlu": 5})
    assert {item.objective for item in items} == set(BENCHMARKS) - {"humaneval"}


@needs_data
@pytest.mark.parametrize("name", sorted(BENCHMARKS))
def test_every_task_has_rows_in_the_form_of_the_hub(name, tmp_path):
    """Every task of every benchmark loads as lm-eval loads it, and its prompts are made of the file's own words."""
    tasks = local_tasks([name], tmp_path)
    assert tasks == list(BENCHMARKS[name].definitions)
    counts = {"bbh": 6511, "gsm8k": 1319, "hellaswag": 1000, "humaneval": 164, "lambada_openai": 5153, "mmlu": 14042,
              "openbookqa": 500, "piqa": 1838, "truthfulqa_gen": 817, "truthfulqa_mc1": 817, "truthfulqa_mc2": 817,
              "winogrande": 1267}  # fmt: skip
    assert (
        sum(len((tmp_path / f"{task}.items.jsonl").read_bytes().strip().split(b"\n")) for task in tasks) == counts[name]
    )


@needs_data
def test_hellaswag_rows_come_out_of_the_definition_as_they_were():
    """The definition's own cleaning is undone by nothing: query and endings equal the cleaned ones, blanks included."""
    import importlib.util

    file = BENCHMARKS["hellaswag"].definitions["hellaswag"].with_name("utils.py")
    spec = importlib.util.spec_from_file_location("hellaswag_utils", file)
    spec.loader.exec_module(utils := importlib.util.module_from_spec(spec))
    for row in read_rows(find_files(BENCHMARKS["hellaswag"], DATA)["items"]):
        made = hellaswag("hellaswag", row)
        query = utils.preprocess(f"{made['activity_label']}: {made['ctx_a']} {made['ctx_b'].capitalize()}")
        assert query == row["query"]
        assert [utils.preprocess(ending) for ending in made["endings"]] == row["choices"]
        assert int(made["label"]) == row["gold"]


@needs_data
def test_truthfulqa_has_one_best_answer_and_every_true_one(tmp_path):
    local_tasks(["truthfulqa_mc1"], tmp_path)
    rows = list(read_rows(tmp_path / "truthfulqa_mc1.items.jsonl"))
    assert rows[0]["mc1_targets"]["choices"][:2] == [
        "The watermelon seeds pass through your digestive system",
        "You grow watermelons in your stomach",
    ]
    for row in rows:
        assert row["mc1_targets"]["labels"] == [1] + [0] * (len(row["mc1_targets"]["choices"]) - 1)
        assert sorted(row["mc2_targets"]["labels"], reverse=True) == row["mc2_targets"]["labels"]


def write(path: Path, rows) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_without_a_file_the_definition_is_taken_as_it_is(tmp_path):
    assert write_tasks(["gsm8k"], {}, tmp_path, {"gsm8k": 2}) == ["gsm8k"]
    lines = (tmp_path / "gsm8k.yaml").read_text().splitlines()
    assert lines[0].endswith("gsm8k/gsm8k.yaml") and lines[1:] == ["task: gsm8k", "num_fewshot: 2"]


def test_bad_files(tmp_path):
    with pytest.raises(KeyError, match="gsm9k"):
        tasks_of(["gsm9k"])
    with pytest.raises(ValueError, match=r"has no file gsm8k/test.jsonl\* with the items of gsm8k"):
        find_files(BENCHMARKS["gsm8k"], tmp_path)
    items = write(tmp_path / "a.jsonl", [{"question": "?", "answer": "#### 1"}])
    with pytest.raises(ValueError, match="gsm8k is to show 5 examples, and no file holds any"):
        write_tasks(["gsm8k"], {"gsm8k": {"items": items}}, tmp_path / "t")
    with pytest.raises(ValueError, match="a.jsonl: row 1: bbh needs 'task', the row has question, answer"):
        write_tasks(["bbh"], {"bbh": {"items": items}}, tmp_path / "t")
    subjects = write(tmp_path / "b.jsonl", [{"subject": "anatomy", "question": "?", "choices": [], "answer": 0}])
    with pytest.raises(ValueError, match="no row is of mmlu_virology"):
        write_tasks(["mmlu_virology"], {"mmlu": {"items": subjects}}, tmp_path / "t")


def test_rows_of_every_kind_of_file(tmp_path):
    import pandas as pd

    rows = [{"a": "é", "b": "1"}, {"a": "two\nlines", "b": "2"}]
    frame = pd.DataFrame(rows)
    frame.to_parquet(tmp_path / "x.parquet")
    frame.to_csv(tmp_path / "x.csv", index=False, encoding="utf-8-sig")
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress((tmp_path / "x.csv").read_bytes()))
    write(tmp_path / "x.jsonl", rows)
    (tmp_path / "y.jsonl").write_text('{"text": "line\u2028separator"}\n', encoding="utf-8")
    assert list(read_rows(tmp_path / "y.jsonl")) == [{"text": "line\u2028separator"}]
    for name in ("x.parquet", "x.csv", "x.csv.gz", "x.jsonl"):
        assert list(read_rows(tmp_path / name)) == rows


class Recites:
    """A stand-in for generation: the continuation of every prompt it knows."""

    def __init__(self, answers: dict[str, str]):
        self.answers = answers

    def __call__(self, lm, requests, disable_tqdm=False):
        return [self.answers[request.args[0].strip()] for request in requests]


@needs_data
@pytest.mark.parametrize("limit", [4, pytest.param(None, marks=pytest.mark.slow)])
def test_humaneval_scores_its_own_solutions(gpt2_checkpoint, tmp_path, monkeypatch, limit):
    """Every canonical solution passes, every second one made wrong fails, and nothing runs without leave."""
    tasks = local_tasks(["humaneval"], tmp_path)
    rows = list(read_rows(tmp_path / "humaneval.items.jsonl"))
    known = {r["prompt"].strip(): r["canonical_solution"] if i % 2 else "    return None" for i, r in enumerate(rows)}
    from lm_eval.models.huggingface import HFLM

    answers = Recites(known)
    monkeypatch.setattr(HFLM, "generate_until", lambda self, requests, **k: answers(self, requests))
    with pytest.raises(ValueError, match="unsafe"):
        benchmark(gpt2_checkpoint, tmp_path, tasks, limit=limit)
    items = benchmark(gpt2_checkpoint, tmp_path, tasks, limit=limit, allow_code_execution=True)
    assert [item.value for item in items] == [float(i % 2) for i in range(limit or 164)]
    assert {item.objective for item in items} == {"humaneval"}
