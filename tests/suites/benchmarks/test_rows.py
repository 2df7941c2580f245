"""Rows of benchmark files: known forms converted, all others refused with file, row, field and value."""

from __future__ import annotations

import csv
import datetime
import gzip
import json
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.benchmarks import rows
from suites.benchmarks.rows import RowError, read_rows
from suites.benchmarks.tasks import write_tasks

HUB = {
    "gsm8k": {"question": "How many?", "answer": "Two.\n#### 2"},
    "humaneval": {"task_id": "HumanEval/0", "prompt": "def f():\n", "canonical_solution": "    return 1\n",
                  "test": "def check(f):\n    assert f() == 1\n", "entry_point": "f"},
    "hellaswag": {"activity_label": "Cooking", "ctx_a": "She boils water.", "ctx_b": "she", "endings": ["a", "b", "c", "d"],
                  "label": "2"},
    "lambada_openai": {"text": "She said yes"},
    "winogrande": {"sentence": "Ann paid Bob because _ lost.", "option1": "Ann", "option2": "Bob", "answer": "1"},
    "piqa": {"goal": "Wet a stone", "sol1": "put it in water", "sol2": "put it in the sun", "label": 0},
    "openbookqa": {"question_stem": "Ice is", "choices": {"text": ["hot", "cold"], "label": ["A", "B"]}, "answerKey": "B"},
    "truthfulqa_mc1": {"question": "Is it?", "mc1_targets": {"choices": ["yes", "no"], "labels": [1, 0]},
                       "mc2_targets": {"choices": ["yes", "no"], "labels": [1, 0]}},
    "truthfulqa_gen": {"question": "Is it?", "best_answer": "yes", "correct_answers": ["yes"], "incorrect_answers": ["no"]},
    "mmlu_anatomy": {"subject": "anatomy", "question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 3},
    "bbh_cot_fewshot_snarks": {"task": "snarks", "input": "Which?", "target": "(A)"},
}  # fmt: skip
CONVERT = {
    "gsm8k": rows.gsm8k, "humaneval": rows.humaneval, "hellaswag": rows.hellaswag, "lambada_openai": rows.lambada,
    "winogrande": rows.winogrande, "piqa": rows.piqa, "openbookqa": rows.openbookqa,
    "truthfulqa_mc1": rows.truthfulqa_choices, "truthfulqa_gen": rows.truthfulqa_answers, "mmlu_anatomy": rows.mmlu,
    "bbh_cot_fewshot_snarks": rows.bbh,
}  # fmt: skip
TABLES = {
    "truthfulqa_mc1": {"Question": "Is it?", "Best Answer": "yes", "Correct Answers": "yes; sure", "Incorrect Answers": "no"},
    "truthfulqa_gen": {"Question": "Is it?", "Best Answer": "yes", "Correct Answers": "yes; sure", "Incorrect Answers": "no"},
    "hellaswag": {"query": "Cooking: She boils water.", "choices": ["a", " b", "c", "d"], "gold": 1},
    "lambada_openai": {"context": "She said", "continuation": "yes"},
}  # fmt: skip
ODD = [None, 3, 2.5, True, "", "  ", "7", "-1", math.nan, math.inf, [], ["a"], [1, 2], {}, {"text": "a"}, "\ud800", b"bytes",
       datetime.date(2024, 1, 1)]  # fmt: skip


@pytest.mark.parametrize("task", HUB)
def test_a_row_of_the_hub_is_itself(task):
    expected = {name: value for name, value in HUB[task].items() if name != "task"}
    assert CONVERT[task](task, HUB[task] | {"idx": 4}) == expected


@pytest.mark.parametrize("task", HUB)
def test_rows_of_jsonl_csv_and_parquet_are_written_alike(task, tmp_path):
    name = {"mmlu_anatomy": "mmlu", "bbh_cot_fewshot_snarks": "bbh"}.get(task, task)
    fields = [json.dumps(value) if isinstance(value, list | dict) else value for value in HUB[task].values()]
    (tmp_path / "a.jsonl").write_text(json.dumps(HUB[task]) + "\n", encoding="utf-8")
    with (tmp_path / "b.csv").open("w", newline="", encoding="utf-8-sig") as file:
        writer = csv.writer(file)
        writer.writerows([HUB[task], fields])
    with (tmp_path / "c.csv").open("w", newline="", encoding="utf-8") as file:  # Python's own words for lists
        csv.writer(file).writerows([HUB[task], list(HUB[task].values())])
    pd.DataFrame([HUB[task]]).to_parquet(tmp_path / "d.parquet")
    written = []
    for file in ("a.jsonl", "b.csv", "c.csv", "d.parquet"):
        write_tasks([task], {name: {"items": tmp_path / file}}, tmp_path / file.replace(".", "-"), {name: 0})
        written.append((tmp_path / file.replace(".", "-") / f"{task}.items.jsonl").read_text(encoding="utf-8"))
    assert len(set(written)) == 1 and json.loads(written[0]) == CONVERT[task](task, HUB[task])


@pytest.mark.parametrize("table", [HUB, TABLES], ids=["hub", "other"])
@given(st.data())
@settings(max_examples=400, deadline=None)
def test_an_odd_field_is_refused_or_has_the_type_of_the_hub(table, data):
    task = data.draw(st.sampled_from(sorted(table)))
    field = data.draw(st.sampled_from(sorted(set(table[task]) - {"ctx_b"})))
    odd = data.draw(st.one_of(st.sampled_from(ODD), st.text(max_size=5), st.integers(), st.floats()))
    try:
        converted = CONVERT[task](task, table[task] | {field: odd})
    except RowError as error:
        assert str(error).startswith(f"{field} is ")
        return
    if converted is None:
        return  # a row of another task
    expected = CONVERT[task](task, table[task])
    assert {name: type(value) for name, value in converted.items()} == {n: type(v) for n, v in expected.items()}
    json.dumps(converted, allow_nan=False).encode()
    if task == "piqa":
        assert converted["label"] in (0, 1)


@pytest.mark.parametrize(
    ("task", "field", "value", "complaint"),
    [
        ("piqa", "label", -1, "label is -1; a whole number from 0 to 1"),
        ("piqa", "label", "", "label is ''"),
        ("piqa", "label", True, "label is True"),
        ("winogrande", "answer", "", "answer is ''; a whole number from 1 to 2"),
        ("winogrande", "answer", 0, "answer is 0"),
        ("winogrande", "sentence", "no blank", "its blank, an underscore, is missing"),
        ("hellaswag", "label", "", "label is ''"),
        ("hellaswag", "endings", ["a", "b"], "a list of 4 texts"),
        ("mmlu_anatomy", "choices", "['a' 'b' 'c' 'd']", "a list of 4 texts"),
        ("mmlu_anatomy", "answer", "E", "answer is 'E'"),
        ("openbookqa", "answerKey", "C", "answerKey is 'C'"),
        (
            "truthfulqa_mc1",
            "mc1_targets",
            {"choices": ["a", "b"], "labels": [0, 1]},
            "its first answer must be the true one",
        ),
        ("gsm8k", "question", "half \udc00", "surrogate"),
    ],
)
def test_what_has_no_known_form_is_refused(task, field, value, complaint):
    with pytest.raises(RowError, match=complaint):
        CONVERT[task](task, HUB[task] | {field: value})


def test_file_row_field_and_value_are_named(tmp_path):
    lines = [HUB["piqa"], HUB["piqa"] | {"label": -1}]
    (tmp_path / "piqa.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    with pytest.raises(ValueError, match=r"piqa\.jsonl: row 2: label is -1; a whole number from 0 to 1 is needed"):
        write_tasks(["piqa"], {"piqa": {"items": tmp_path / "piqa.jsonl"}}, tmp_path / "t")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": ', "row 2: not JSON"),
        ("a.jsonl", b"[1, 2]\n", r"row 1: a JSON object is needed, not \[1, 2\]"),
        ("a.jsonl", b"[" * 100_000, "row 1: not JSON"),
        ("a.jsonl", "é".encode("latin-1"), "cannot be read"),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n' * 99, mtime=0)[:-9], "cannot be read"),
        ("a.jsonl.gz", b"no gzip", "cannot be read"),
        ("a.csv", b"a,b\n1,2,3\n", "row 1: its fields are not those of the header"),
        ("a.csv", b"a,b\n1,2\n3\n", "row 2: its fields are not those of the header"),
        ("a.csv", b"a\n" + b"x" * 200_000, "cannot be read"),
        ("a.parquet", b"PAR1 cut", "not a readable Parquet file"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_one_clear_line(tmp_path, name, content, complaint):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=complaint) as refused:
        list(read_rows(tmp_path / name))
    assert name in str(refused.value)


def test_a_folder_and_a_missing_file_are_one_clear_line(tmp_path):
    for path in (tmp_path, tmp_path / "gone.jsonl"):
        with pytest.raises(ValueError, match="cannot be read"):
            list(read_rows(path))
