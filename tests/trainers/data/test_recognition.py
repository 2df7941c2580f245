"""Forms recognised by their columns: small rows with the columns of published data sets, and real files."""

from __future__ import annotations

import csv
import gzip
import json
import re
from itertools import islice

import pyarrow
import pyarrow.parquet
import pytest

from tests.paths import ROOT
from trainers.data.forms import FORMS, create, forms
from trainers.data.forms.recognition import recognise
from trainers.data.records import DataError, DataSet, read_data
from trainers.tokens.dialogue import content_of


def turns(*contents):
    return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]


SAFE = {
    "prompt": "How?", "response_0": "No.", "response_1": "So.", "prompt_source": "x", "response_0_source": "Alpaca-7B",
    "response_1_source": "Alpaca-7B", "is_response_0_safe": True, "is_response_1_safe": False,
    "response_0_harm_category": {"Violence": False}, "response_1_harm_category": {"Violence": True},
    "response_0_severity_level": 0, "response_1_severity_level": 2, "better_response_id": 1, "safer_response_id": 0,
}  # fmt: skip
HELPSTEER2 = {"correctness": 3, "coherence": 4, "complexity": 2, "verbosity": 1}

PUBLISHED = {
    "hh": ([{"chosen": "\n\nHuman: Why?\n\nAssistant: So.", "rejected": "\n\nHuman: Why?\n\nAssistant: Go."}], ["So."]),
    "pairs": ([{"prompt": "Why?", "chosen": "So.", "rejected": "Go."}], ["So."]),
    "implicit_prompt": ([{"chosen": "The sky is blue.", "rejected": "The sky is black."}], ["blue."]),
    "messages": ([{"chosen": turns("Why?", "So."), "rejected": turns("Why?", "Go.")}], ["So."]),
    "instructions": ([{"system": "", "question": "Why?", "chosen": "So.", "rejected": "So not."}], ["So."]),
    "ultrafeedback_binarized": (
        [{"prompt": "Why?", "prompt_id": "f0", "chosen": turns("Why?", "So."), "rejected": turns("Why?", "Go."),
          "messages": turns("Why?", "So."), "score_chosen": 8.5, "score_rejected": 7.0},
         {"prompt": "Why?", "prompt_id": "f1", "chosen": turns("Why?", "A"), "rejected": turns("Why?", "B"),
          "messages": turns("Why?", "A"), "score_chosen": 5.0, "score_rejected": 5.0}],
        ["So."],
    ),
    "ultrafeedback": (
        [{"source": "flan", "instruction": "Why?", "models": ["a", "b", "c"], "completions": [
            {"model": "a", "response": "Go.", "overall_score": 2.0,
             "annotations": {"helpfulness": {"Rating": "N/A", "Rationale": "."}}},
            {"model": "b", "response": "So.", "overall_score": 8.5,
             "annotations": {"helpfulness": {"Rating": "5", "Rationale": "."}}},
            {"model": "c", "response": "Hm.", "overall_score": 4.0, "annotations": {}}]}],
        ["So.", "Hm."],
    ),
    "helpsteer2": (
        [{"prompt": "Why?", "response": "Go.", "helpfulness": 1, **HELPSTEER2},
         {"prompt": "Why?", "response": "So.", "helpfulness": 4, **HELPSTEER2},
         {"prompt": "How?", "response": "A", "helpfulness": 2, **HELPSTEER2},
         {"prompt": "How?", "response": "B", "helpfulness": 2, **HELPSTEER2}],
        ["So."],
    ),
    "helpsteer2_preference": (
        [{"split": "train", "prompt": "Why?", "response_1": "Go.", "response_2": "So.", "preference_strength": 2,
          "preference_statement": "Better.", "preference_elaboration": "."},
         {"split": "val", "prompt": "Why?", "response_1": "Go.", "response_2": "So.", "preference_strength": 0}],
        ["So."],
    ),
    "helpsteer3": (
        [{"domain": "general", "language": "english", "context": turns("Hi", "Hello", "Why?"), "response1": "So.",
          "response2": "Go.", "overall_preference": -2, "individual_preference": [{"score": -2, "reasoning": "."}]}],
        ["So."],
    ),
    "safe_rlhf": ([SAFE], ["So."]),
    "beavertails": (
        [{"prompt": "How?", "response": "Go.", "category": {"violence": True}, "is_safe": False},
         {"prompt": "How?", "response": "So.", "category": {"violence": False}, "is_safe": True},
         {"prompt": "How?", "response": "Hm.", "category": {"violence": False}, "is_safe": True}],
        ["So."],
    ),
    "nectar": (
        [{"prompt": "\n\nHuman: Why? \n\nAssistant: ", "answers": [
            {"answer": "Go.", "model": "a", "rank": 3.0}, {"answer": "So.", "model": "b", "rank": 1.0},
            {"answer": "Hm.", "model": "c", "rank": 2.0}], "turns": 1, "num_responses": 3, "source": ["sharegpt"],
          "good_natured": True}],
        ["So.", "Hm."],
    ),
    "kwise": ([{"prompt": "Why?", "responses": ["Go.", "So.", "Go."], "ranks": [3, 1, 2]}], ["So."]),
    "unpaired": (
        [{"prompt": turns("Why?"), "completion": turns("", "So.")[1:], "label": True},
         {"prompt": turns("Why?"), "completion": turns("", "Go.")[1:], "label": False},
         {"prompt": turns("How?"), "completion": turns("", "Hm.")[1:], "label": False}],
        ["So."],
    ),
    "scored": ([{"prompt": "Why?", "text": "Go.", "reward": 0.1}, {"prompt": "Why?", "text": "So.", "reward": 0.9}], ["So."]),
    "tldr": (
        [{"info": {"id": "t3", "post": "My cat left.", "title": "Help", "subreddit": "cats", "site": None, "article": None},
          "summaries": [{"text": " So.", "policy": "sup", "note": None}, {"text": " Go.", "policy": "ref", "note": None}],
          "choice": 0, "worker": "w", "batch": "b", "split": "train", "extra": {"confidence": 9}}],
        ["So."],
    ),
    "oasst": (
        [{"message_id": "q", "parent_id": None, "role": "prompter", "text": "Why?", "rank": None, "lang": "en"},
         {"message_id": "r", "parent_id": "q", "role": "assistant", "text": "Go.", "rank": 1.0, "lang": "en"},
         {"message_id": "s", "parent_id": "q", "role": "assistant", "text": "So.", "rank": 0.0, "lang": "en"}],
        ["So."],
    ),
    "shp": (
        [{"post_id": "p", "c_root_id_A": "a", "c_root_id_B": "b", "history": "Why?", "human_ref_A": "So.",
          "human_ref_B": "Go.", "labels": 1, "score_A": 20, "score_B": 2, "domain": "askscience_train"}],
        ["So."],
    ),
}  # fmt: skip
"""Rows with the columns of a published data set and the responses that they prefer, by the form."""


def json_lines(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def test_every_form_has_published_rows_and_a_line_of_the_documentation():
    assert set(PUBLISHED) == set(forms())
    table = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.M)) == set(forms())


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_form_is_recognised_by_its_columns(name, tmp_path):
    rows, preferred = PUBLISHED[name]
    pairs = read_data(DataSet(json_lines(tmp_path / "data.jsonl", rows)))
    assert pairs.forms[0].name == name and len(str(pairs.forms[0]).splitlines()) == 1
    assert [content_of(pair.chosen).strip() for pair in pairs] == preferred
    assert all(content_of(pair.rejected).strip() != content_of(pair.chosen).strip() for pair in pairs)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_form_recognises_its_own_examples(name):
    assert {recognise([("f:1", row)]).name for row in forms()[name].examples} <= {name, "pairs", "hh"}
    assert recognise([("f:1", forms()[name].examples[0])]).name == name


def test_every_kind_of_file_gives_the_same_pairs(tmp_path):
    rows = [{"prompt": f"Q{n}", "chosen": f"good, {n}\n", "rejected": 'a "bad" one'} for n in range(3)]
    plain = json_lines(tmp_path / "a.jsonl", rows)
    (tmp_path / "a.json").write_text(json.dumps(rows))
    (tmp_path / "lines.json").write_text(plain.read_text())
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "a.parquet")
    for file, delimiter in ((tmp_path / "a.csv", ","), (tmp_path / "b.csv", ";"), (tmp_path / "a.tsv", "\t")):
        with file.open("w", newline="", encoding="utf-8-sig") as table:
            writer = csv.DictWriter(table, list(rows[0]), delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
    read = [list(read_data(DataSet(file))) for file in sorted(tmp_path.iterdir())]
    assert len(read) == 7 and all(pairs == read[0] for pairs in read)


def test_cells_with_messages_are_messages_and_python_lists_are_refused(tmp_path):
    file = tmp_path / "a.csv"
    cells = [json.dumps(turns("Why?", "So.")), json.dumps(turns("Why?", "Go."))]
    python = [str(turns("Why?", "So.")), str(turns("Why?", "Go."))]
    with file.open("w", newline="") as table:
        csv.writer(table).writerows([["chosen", "rejected"], cells, python, ["only one"]])
    pairs = read_data(DataSet(file), on_invalid="drop")
    assert [pair.prompt for pair in pairs] == [turns("Why?")]
    assert pairs.dropped == {
        "messages in Python's notation, which is not JSON": 1, "its cells are not those of the header": 1
    }  # fmt: skip
    with pytest.raises(DataError, match=r"a\.csv:3: messages in Python's notation, which is not JSON: 'chosen': "):
        read_data(DataSet(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'prompt,chosen\n"open', "a.csv:2: not CSV"),
        (b"prompt,chosen\n\xff,b\n", "a.csv: not UTF-8: byte 14 of the file"),
        (b"prompt,prompt\na,b\n", "a.csv: two columns of one name: prompt, prompt"),
        (b"", "a.csv: no usable row"),
    ],
)
def test_a_damaged_table_is_one_line(tmp_path, text, message):
    (tmp_path / "a.csv").write_bytes(text)
    with pytest.raises(DataError, match=message) as error:
        read_data(DataSet(tmp_path / "a.csv"))
    assert "\n" not in str(error.value)


def test_own_names_of_columns(tmp_path):
    file = json_lines(tmp_path / "a.jsonl", [{"q": "Why?", "yes": "So.", "no": "Go."}] * 2)
    columns = {"prompt": "q", "chosen": "yes", "rejected": "no"}
    pairs = read_data(DataSet(file, columns=columns))
    assert [(pair.prompt, pair.chosen) for pair in pairs] == [("Why?", "So.")] * 2
    with pytest.raises(DataError, match=r"a\.jsonl:1: columns: no column 'yess'; did you mean 'yes'\?"):
        read_data(DataSet(file, columns=columns | {"chosen": "yess"}))
    with pytest.raises(
        DataError, match=r"a\.jsonl:1: no known form of preference data: its columns are q, yes, no; name"
    ):
        read_data(DataSet(file))


def test_the_other_axis_of_a_data_set_is_a_name_of_a_column(tmp_path):
    file = json_lines(tmp_path / "a.jsonl", [SAFE])
    (helpful,), (safe,) = (
        read_data(DataSet(file)),
        read_data(DataSet(file, columns={"better_response_id": "safer_response_id"})),
    )
    assert content_of(helpful.chosen) == content_of(safe.rejected) == "So."
    assert helpful.scores == {"safer": (0.0, 1.0), "safe": (0.0, 1.0), "severity": (2.0, 0.0)}
    assert safe.scores == {"safer": (1.0, 0.0), "safe": (1.0, 0.0), "severity": (0.0, 2.0)}


def test_most_rows_decide(tmp_path):
    """An odd first row does not turn a file into another form, and is counted."""
    rows = [{"chosen": "The sky is blue.", "rejected": "The sky is black."}, *PUBLISHED["hh"][0] * 3]
    pairs = read_data(DataSet(json_lines(tmp_path / "a.jsonl", rows)), on_invalid="drop")
    assert pairs.forms[0].name == "hh" and len(pairs) == 3 and pairs.dropped == {"no 'prompt'": 1}


PERSONA = {"prompt": "question", "chosen": "answer_matching_behavior", "rejected": "answer_not_matching_behavior"}
REAL = {
    "hh_rlhf/helpful-base.test.jsonl.gz": ("hh", {}),
    "rasbt_pref/preference.jsonl.gz": ("instructions", {}),
    "reward_labelled_generations/toxicity_reward.jsonl.gz": ("scored", {}),
    "anthropic_model_written_evals/persona_pairs.jsonl.gz": ("pairs", PERSONA),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name, shared_data, tmp_path):
    form, columns = REAL[name]
    with gzip.open(shared_data / name, "rt", encoding="utf-8") as lines:
        (tmp_path / "first.jsonl").write_text("".join(islice(lines, 500)), encoding="utf-8")
    pairs = read_data(DataSet(tmp_path / "first.jsonl", columns=columns), on_invalid="drop")
    assert pairs.forms[0].name == form
    assert len(pairs) >= 400 and len(pairs) + sum(pairs.dropped.values()) in (400, 500)


def test_every_named_form_can_be_made():
    assert {create(name) for name in FORMS.all()}
