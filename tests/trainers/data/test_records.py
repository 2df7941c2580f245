"""Faults of records: errors with their place, or dropped rows that are counted."""

from __future__ import annotations

import gzip
import json
import pickle

import pyarrow
import pyarrow.parquet
import pytest

from trainers.data.records import DataError, ResponseGroup, read_corpus, read_examples, read_pairs, read_preferences

GOOD = {"id": "a", "prompt": "Hi", "chosen": " you", "rejected": " there"}


def write(folder, *rows):
    file = folder / "pairs.jsonl"
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    file.write_bytes(b"\n".join(lines) + b"\n")
    return file


FAULTS = {
    "not JSON": b'{"prompt": "Hi", ',
    "not UTF-8": b'{"prompt": "H\xff"}',
    "not a JSON object": b"[1, 2]",
    "no 'rejected'": {"prompt": "Hi", "chosen": " you"},
    "no 'prompt'": {"chosen": " you", "rejected": " there"},
    "empty 'prompt'": GOOD | {"id": "b", "prompt": " \n"},
    "empty 'chosen'": GOOD | {"id": "b", "chosen": ""},
    "empty 'rejected'": GOOD | {"id": "b", "rejected": "  "},
    "identical responses": GOOD | {"id": "b", "rejected": " you"},
    "duplicate id": GOOD | {"chosen": " me"},
    "text and messages are mixed": GOOD | {"id": "b", "chosen": [{"role": "assistant", "content": "you"}]},
    "'chosen' is neither text nor a list of messages": GOOD | {"id": "b", "chosen": 3},
    "chosen and rejected answer different prompts": {
        "chosen": "\n\nHuman: A?\n\nAssistant: Yes",
        "rejected": "\n\nHuman: B?\n\nAssistant: No",
    },
}


@pytest.mark.parametrize("why", FAULTS)
def test_a_fault_names_file_and_line_or_is_dropped_and_counted(tmp_path, why):
    file = write(tmp_path, GOOD, FAULTS[why])
    with pytest.raises(DataError, match=f"pairs.jsonl:2.*{why}") as caught:
        read_pairs(file)
    assert caught.value.why == why
    kept = read_pairs(file, on_invalid="drop")
    assert [pair.id for pair in kept] == ["a"]
    assert kept.dropped == {why: 1}


def test_the_id_is_named_too(tmp_path):
    with pytest.raises(DataError, match=r"pairs.jsonl:1 \(id 7\): identical responses"):
        read_pairs(write(tmp_path, GOOD | {"id": 7, "rejected": " you"}))


def test_the_implicit_prompt_ends_at_the_last_assistant_turn(tmp_path):
    head = "\n\nHuman: A?\n\nAssistant: B\n\nHuman: C?\n\nAssistant:"
    (pair,) = read_pairs(write(tmp_path, {"chosen": head + " D", "rejected": head + " E"}))
    assert (pair.prompt, pair.chosen, pair.rejected) == (head, " D", " E")


def test_conversational_records_with_and_without_a_prompt(tmp_path):
    user, good, bad = (
        {"role": role, "content": text} for role, text in (("user", "A?"), ("assistant", "B"), ("assistant", "C"))
    )
    explicit = {"id": "x", "prompt": [user], "chosen": [good], "rejected": [bad]}
    implicit = {"id": "y", "chosen": [user, good], "rejected": [user, bad]}
    first, second = read_pairs(write(tmp_path, explicit, implicit))
    assert (first.prompt, first.chosen, first.rejected) == (second.prompt, second.chosen, second.rejected)


def test_rows_without_an_id_get_a_stable_one_and_may_repeat(tmp_path):
    row = {key: value for key, value in GOOD.items() if key != "id"}
    first, second = read_pairs(write(tmp_path, row, row))
    again = read_pairs(write(tmp_path, row, row))
    assert second.id == f"{first.id}-2"
    assert [pair.id for pair in again] == [first.id, second.id]


def test_all_kinds_of_file_give_the_same_records(tmp_path):
    rows = [GOOD, GOOD | {"id": "b", "prompt": "Hé"}]
    plain = write(tmp_path, *rows)
    packed = tmp_path / "pairs.jsonl.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), table)
    assert read_pairs(plain) == read_pairs(packed) == read_pairs(table)


def test_a_cut_gzip_file_is_an_error_even_when_rows_may_be_dropped(tmp_path):
    file = tmp_path / "pairs.jsonl.gz"
    rows = b"".join(json.dumps(GOOD | {"id": str(i), "prompt": f"{i * 7919}"}).encode() + b"\n" for i in range(500))
    file.write_bytes(gzip.compress(rows)[:-200])
    with pytest.raises(DataError, match="damaged gzip file"):
        read_pairs(file, on_invalid="drop")


def test_sources_that_are_not_there(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_pairs(tmp_path / "absent.jsonl")
    (tmp_path / "pairs.txt").write_text("a")
    with pytest.raises(DataError, match="unknown kind of file"):
        read_pairs(tmp_path / "pairs.txt")
    with pytest.raises(DataError, match="no usable row"):
        read_pairs(write(tmp_path, FAULTS["no 'rejected'"]), on_invalid="drop")


def test_the_hub_is_asked_for_what_is_no_file(monkeypatch):
    import datasets

    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: asked.append((name, split)) or [GOOD])
    assert read_pairs("Anthropic/hh-rlhf", split="test")[0].chosen == " you"
    assert asked == [("Anthropic/hh-rlhf", "test")]

    def offline(name, split):
        raise ConnectionError("no network")

    monkeypatch.setattr(datasets, "load_dataset", offline)
    with pytest.raises(DataError, match="neither a file nor a data set that can be loaded from the hub: no network"):
        read_pairs("Anthropic/hh-rlhf")


def test_unpaired_and_sft_records(tmp_path):
    rows = [{"prompt": "Hi", "completion": " you", "label": True}, {"prompt": "Hi", "response": " no", "label": 0}]
    examples = read_examples(write(tmp_path, *rows))
    assert [(e.response, e.label) for e in examples] == [(" you", True), (" no", False)]
    assert read_preferences(tmp_path / "pairs.jsonl") == examples
    with pytest.raises(DataError, match="'label' is not true or false"):
        read_examples(write(tmp_path, rows[0] | {"label": "yes"}))
    documents = read_corpus(write(tmp_path, {"text": "All of it"}, {"prompt": "Hi", "response": " you"}))
    assert [(d.prompt, d.response) for d in documents] == [("", "All of it"), ("Hi", " you")]


def test_real_dialogues(shared_data):
    """The file keeps 17 rows with two prompts and 36 with one response on purpose."""
    file = shared_data / "hh_rlhf" / "pairs.jsonl.gz"
    pairs = read_pairs(file, on_invalid="drop")
    assert pairs.dropped["chosen and rejected answer different prompts"] == 17
    assert pairs.dropped["identical responses"] == 36
    assert len(pairs) + sum(pairs.dropped.values()) == 8552
    assert all(pair.prompt.endswith("\n\nAssistant:") for pair in pairs)


def test_groups_are_told_from_pairs_and_checked(tmp_path):
    file = tmp_path / "groups.jsonl"
    file.write_text('{"id": "a", "prompt": "x", "responses": [" y", " y", " z"]}\n')
    assert read_preferences(file) == [ResponseGroup("a", "x", (" y", " y", " z"))]
    with file.open("a") as more:
        more.write('{"id": "b", "prompt": "x", "responses": [" y", " z"]}\n')
    with pytest.raises(DataError, match=r"\(id b\): 2 responses where the first row has 3"):
        read_preferences(file)


def test_a_data_error_survives_pickling():
    """It must come out of a worker process as it went in."""
    error = pickle.loads(pickle.dumps(DataError("file:3", "no 'chosen'", "the row has prompt")))
    assert (str(error), error.why) == ("file:3: no 'chosen': the row has prompt", "no 'chosen'")
