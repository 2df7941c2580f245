"""Odd values in every field of every reader: usual forms converted, all others refused or dropped, never made text."""

from __future__ import annotations

import datetime
import decimal
import importlib.util
import json
import re
import sys

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.inputs.prompt_sets import file_rows, read_prompts, read_references
from trainers.data import records
from trainers.data.fields import Fields, Unusable
from trainers.data.forms import FORMS, create, forms
from trainers.data.records import DataError, read_corpus, read_examples, read_groups, read_mixture, read_pairs
from trainers.registry import DeclarationError

ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(allow_nan=True), st.binary(max_size=3), st.dates(),
    st.datetimes(), st.sampled_from(["1", "0", "2.5", "nan", "", " ", "x\ud83d"]), st.text("ab ", max_size=3),
    st.lists(st.one_of(st.none(), st.integers(), st.text("ab", max_size=2)), max_size=2),
    st.dictionaries(st.sampled_from(["role", "content", "type", "text"]), st.one_of(st.none(), st.integers(), st.just("a"))),
    st.lists(st.fixed_dictionaries({"role": st.sampled_from([None, 3, "user", "assistant", "tool"]),
                                    "content": st.one_of(st.none(), st.floats(), st.just("a"), st.just([{"type": "text", "text": "b"}]),
                                                         st.just([{"type": "image", "text": 4}]))}), max_size=2),
)  # fmt: skip

TURN = {"role": "assistant", "content": "Because."}
BETWEEN = r"\n\n(?:Human|Assistant|System):|\n\n|SUBREDDIT: r/|\nTITLE: |\nPOST: |Article: |\nTL;DR:"
"""What a form writes between the texts of a row."""
READERS = {
    "examples": (read_examples, [{"id": "e", "prompt": "Hi", "response": " you", "label": 1}]),
    "groups": (read_groups, [{"id": "g", "prompt": "Hi", "responses": [" you", " all"]}]),
    "corpus": (read_corpus, [{"id": "c", "prompt": "Hi", "response": " you"}, {"id": "d", "text": "All of it"}]),
    "message pairs": (read_pairs, [{"prompt": [{"role": "user", "content": "Why?"}], "chosen": [TURN], "rejected": [TURN | {"content": "Go."}]}]),
} | {
    f"form {name}": (lambda source, on_invalid, name=name: read_mixture([(source, "train", name)], on_invalid=on_invalid), list(form.examples))
    for name, form in forms().items()
}  # fmt: skip


def leaves(value):
    """Every text in a value of nested lists and objects."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [text for part in inner for text in leaves(part)]


def texts_of(record):
    """Every text of a record, of messages their contents: a role may be the form's."""
    sides = [side for name, side in vars(record).items() if name != "id"]
    turns = [side for side in sides if isinstance(side, list) and side and isinstance(side[0], dict)]
    return leaves([side for side in sides if side not in turns] + [turn["content"] for side in turns for turn in side])


def check(made, rows):
    written = leaves([dict(row) for row in rows])
    for record in made:
        for text in texts_of(record):
            assert text.encode() is not None and (text.strip() or not text)
            for turn in re.split(BETWEEN, text):
                assert any(turn.strip() in leaf for leaf in written), (turn, rows)


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_value_is_converted_or_refused_and_never_becomes_text(name, data):
    read, good = READERS[name]
    rows = [dict(row) for row in good]
    for _ in range(data.draw(st.integers(1, 2), label="changes")):
        row = data.draw(st.sampled_from(rows))
        row[data.draw(st.sampled_from(sorted(row)))] = data.draw(ODD)
    located = [(f"file:{number}", row) for number, row in enumerate(rows, start=1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(records, "read_rows", lambda source, split: iter(located))
        for on_invalid in ("error", "drop"):
            try:
                made = read("file", on_invalid=on_invalid)
            except DataError as error:
                assert re.match(r"file(:\d+.*)?: ", str(error))
                assert on_invalid == "error" or error.why == "no usable row"
            else:
                check(made, rows)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_prompt_sets_refuse_what_is_no_text(data):
    row = dict(data.draw(st.sampled_from([
        {"id": "a", "instruction": "Add", "input": "1 b", "output": "ab"},
        {"id": "a", "instruction": "Add", "instances": [{"input": "b", "output": "ab"}]},
        {"question_id": 8, "turns": ["Why", "How"], "reference": ["So"]},
        {"prompt_id": 8, "prompt": "Why", "reference": "So"},
        {"question_id": 8, "choices": [{"turns": ["So"]}]},
    ])))  # fmt: skip
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(ODD)
    written = leaves(row)
    for read in (read_prompts, read_references):
        try:
            made = read([("file:1", row)])
        except UsageError as error:
            assert str(error).startswith("file:1: ")
            continue
        texts = made.values() if isinstance(made, dict) else [t for p in made for t in (p.text, p.reference) if t]
        assert all(part.strip() in written or part in written for text in texts for part in text.split("\n\n"))


def test_a_text_where_a_list_of_turns_belongs_is_refused():
    with pytest.raises(UsageError, match=r"file:1: 'turns' is not a list: text: 'Why\?'"):
        read_prompts([("file:1", {"turns": "Why?"})])


def pairs_file(path, *rows, prefix=b""):
    path.write_bytes(prefix + "".join(json.dumps(row) + "\n" for row in rows).encode())
    return path


GOOD = [{"prompt": f"Q{n}", "chosen": " a", "rejected": " b"} for n in range(3)]


def test_a_byte_order_mark_is_skipped(tmp_path):
    file = pairs_file(tmp_path / "bom.jsonl", *GOOD, prefix=b"\xef\xbb\xbf")
    assert len(read_pairs(file)) == 3
    assert len(list(file_rows(file))) == 3
    array = tmp_path / "bom.json"
    array.write_bytes(b"\xef\xbb\xbf" + json.dumps(GOOD).encode())
    assert [row for _, row in file_rows(array)] == GOOD


def test_half_a_surrogate_pair_is_no_text(tmp_path):
    for extra in ({}, {"id": "x"}):
        file = pairs_file(tmp_path / "a.jsonl", GOOD[0], GOOD[1] | extra | {"chosen": " yes \ud83d"})
        pairs = read_pairs(file, on_invalid="drop")
        assert len(pairs) == 1 and pairs.dropped == {"'chosen' is not text": 1}
        with pytest.raises(DataError, match=r"a.jsonl:2.*half a surrogate pair at character 5"):
            read_pairs(file)


@pytest.mark.parametrize(
    "value", [datetime.datetime(2024, 1, 2), decimal.Decimal("1.5"), b"\x00", datetime.date(2024, 1, 2)]
)
def test_other_columns_of_a_table_do_not_matter(tmp_path, value):
    file = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row | {"other": value} for row in GOOD]), file)
    pairs = read_pairs(file)
    assert len(pairs) == 3 and len({pair.id for pair in pairs}) == 3
    assert [pair.id for pair in pairs] == [pair.id for pair in read_pairs(file)]


def test_a_column_that_python_cannot_hold_harms_no_other(tmp_path):
    far = pyarrow.array([2**60] * 3, pyarrow.timestamp("ms"))
    table = pyarrow.Table.from_pylist(GOOD).append_column("created", far)
    pyarrow.parquet.write_table(table, tmp_path / "pairs.parquet")
    assert len(read_pairs(tmp_path / "pairs.parquet")) == 3


@pytest.mark.parametrize("size", [0, 3, 60, 500])
def test_a_cut_table_is_one_clear_line(tmp_path, size):
    file = tmp_path / "pairs.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(GOOD), file)
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(DataError, match="pairs.parquet: damaged Parquet file") as caught:
        read_pairs(file, on_invalid="drop")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="damaged Parquet file"):
        list(file_rows(file))


def test_shp_numbers_may_be_written_as_text(tmp_path):
    row = dict(forms()["shp"].examples[0])
    written = row | {"labels": "1", "score_A": "20", "score_B": " 2 "}
    one, other = (read_mixture([(pairs_file(tmp_path / "f.jsonl", r), "train", "shp")]) for r in (row, written))
    assert one == other
    for label in ("A", 2, 0.5, True, None):
        with pytest.raises(DataError, match="'labels'"):
            read_mixture([(pairs_file(tmp_path / "f.jsonl", row | {"labels": label}), "train", "shp")])


def test_the_parts_of_a_message_are_joined(tmp_path):
    def turns(*contents):
        return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]

    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    rows = [
        {"chosen": turns("Hi", parts), "rejected": turns("Hi", "Go")},
        {"chosen": turns("Call it", None), "rejected": turns("Call it", "No")},
        {"chosen": turns("See", [{"type": "image", "image": "x"}]), "rejected": turns("See", "No")},
        {"chosen": turns("n", 3), "rejected": turns("n", "No")},
    ]
    pairs = read_mixture([(pairs_file(tmp_path / "f.jsonl", *rows), "train", "messages")], on_invalid="drop")
    assert [(pair.prompt, pair.chosen) for pair in pairs] == [(turns("Hi"), turns("Hi", "Hello")[1:])]
    assert pairs.dropped == {"empty 'chosen'": 1, "'chosen' holds a message whose content is not text": 2}


def test_a_response_is_the_assistants(tmp_path):
    swapped = [{"role": "assistant", "content": "Hi"}, {"role": "user", "content": "Hello"}]
    row = {"chosen": swapped, "rejected": [swapped[0], {"role": "user", "content": "Go"}]}
    with pytest.raises(DataError, match="f.jsonl:1: the last message is not the assistant's"):
        read_mixture([(pairs_file(tmp_path / "f.jsonl", row), "train", "messages")])


@pytest.mark.parametrize("form", ["pairs", "messages"])
def test_a_response_beside_its_prompt_is_the_assistants_alone(tmp_path, form):
    asked, replies = (
        [{"role": "user", "content": "Why?"}],
        [[{"role": "assistant", "content": c}] for c in ("So.", "No.")],
    )
    row = {"prompt": asked, "chosen": asked + replies[0], "rejected": asked + replies[1]}
    mixed = {"prompt": asked, "chosen": replies[0], "rejected": [*replies[1], *asked]}
    assert read_mixture(
        [(pairs_file(tmp_path / "g.jsonl", {**row, "chosen": replies[0], "rejected": replies[1]}), "train", form)]
    )
    whole = read_mixture([(pairs_file(tmp_path / "f.jsonl", row, GOOD[0]), "train", form)], on_invalid="drop")
    if form == "pairs":
        assert whole.dropped == {"a response holds a message that is not the assistant's": 1}
    else:
        assert not whole.dropped and replies[0] in [pair.chosen for pair in whole]
    with pytest.raises(DataError, match="not the assistant's|different prompts"):
        read_mixture([(pairs_file(tmp_path / "h.jsonl", mixed), "train", form)])


def test_a_dialogue_written_before_each_response_is_its_prompt(tmp_path):
    prompt = "\n\nHuman: Why?\n\nAssistant:"
    rows = [
        {"prompt": prompt, "chosen": f"{prompt} So.", "rejected": f"{prompt} No."},
        {"prompt": "I", "chosen": "I do", "rejected": "I don't"},
        {"prompt": prompt, "chosen": f"{prompt} So.", "rejected": prompt},
    ]
    pairs = read_pairs(pairs_file(tmp_path / "f.jsonl", *rows), on_invalid="drop")
    assert [(pair.prompt, pair.chosen, pair.rejected) for pair in pairs] == [
        (prompt, " So.", " No."),
        ("I", "I do", "I don't"),
    ]
    assert pairs.dropped == {"empty 'rejected'": 1}


def test_a_label_against_the_scores_and_equal_replies_are_refused(tmp_path):
    row = dict(forms()["shp"].examples[0])
    with pytest.raises(DataError, match="f.jsonl:1: 'labels' contradicts the scores: 0, and the scores are 20 and 2"):
        read_mixture([(pairs_file(tmp_path / "f.jsonl", row | {"labels": 0}), "train", "shp")])
    tree = [dict(node) | {"text": "Same."} for node in forms()["oasst"].examples]
    with pytest.raises(DataError, match="identical responses"):
        read_mixture([(pairs_file(tmp_path / "g.jsonl", *tree), "train", "oasst")])


def test_replies_that_answer_each_other_end(tmp_path):
    tree = [
        {"message_id": m, "parent_id": p, "role": role, "text": m, "rank": rank, "lang": "en"}
        for m, p, role, rank in [
            ("q", "r1", "prompter", None),
            ("r0", "q", "assistant", 0),
            ("r1", "q", "assistant", 1),
        ]
    ]
    good = [dict(row) for row in forms()["oasst"].examples]
    file = pairs_file(tmp_path / "f.jsonl", *tree, *(row | {"message_id": "x" + row["message_id"], "parent_id": row["parent_id"] and "xq"} for row in good))  # fmt: skip
    pairs = read_mixture([(file, "train", "oasst")], on_invalid="drop")
    assert [pair.id for pair in pairs] == ["oasst/xs/xr"]
    assert pairs.dropped["its messages answer each other in a circle"] == 2


def test_a_rank_may_be_missing_as_data_frames_write_it(tmp_path):
    rows = [dict(row) for row in forms()["oasst"].examples]
    file = tmp_path / "f.jsonl"
    file.write_text("".join(json.dumps(row | {"rank": float("nan") if row["rank"] is None else float(row["rank"])}) + "\n" for row in rows))  # fmt: skip
    assert [pair.chosen for pair in read_mixture([(file, "train", "oasst")])] == [" Yes."]


def test_a_row_after_a_bad_one_keeps_its_id(tmp_path):
    file = pairs_file(tmp_path / "f.jsonl", GOOD[0] | {"id": "a", "chosen": ""}, GOOD[1] | {"id": "a"})
    assert [pair.id for pair in read_pairs(file, on_invalid="drop")] == ["a"]


def test_groups_of_another_size_are_dropped_and_counted(tmp_path):
    rows = [{"id": str(n), "prompt": "x", "responses": [" y"] * k} for n, k in enumerate((2, 3, 2))]
    groups = read_groups(pairs_file(tmp_path / "f.jsonl", *rows), on_invalid="drop")
    assert len(groups) == 2 and groups.dropped == {"3 responses where the first row has 2": 1}


@pytest.mark.parametrize("line", ["[" * 100_000, '{"prompt": ' + "1" * 5000 + "}", '{"a": 1} {"b": 2}'])
def test_json_that_python_does_not_parse_is_one_bad_row(tmp_path, line):
    file = tmp_path / "f.jsonl"
    file.write_text(json.dumps(GOOD[0]) + "\n" + line + "\n")
    assert read_pairs(file, on_invalid="drop").dropped == {"not JSON": 1}


@pytest.mark.parametrize("value", ["1e400", "inf", "0x10", "1_000", "١", "", True, float("inf"), 10**400])
def test_no_number_is_read_out_of_what_is_none(value):
    with pytest.raises(Unusable, match="is not a number"):
        Fields({"n": value}).number("n")


FORM = '''
from dataclasses import dataclass
from trainers.data.forms import Draft, register

@register("{name}")
@dataclass(frozen=True)
class Ranked:
    """Answers to a question, the best first."""

    columns = frozenset(("question", "answers"))
    examples = ({{"question": "Why?", "answers": ["So.", "No."]}},)

    def read(self, row):
        question, (best, worst) = {question}, {answers}
        return Draft(question, best, worst, digest=row.digest())

    def pair(self, items):
        return items
'''
CAREFUL = {"question": 'row.text("question")', "answers": "texts(row)"}
HELPER = """
def texts(row):
    from trainers.data.fields import Fields, Unusable
    answers = row.list("answers")
    if len(answers) != 2:
        raise Unusable("'answers' are not two")
    return [" " + Fields({"answers": answer}).text("answers") for answer in answers]
"""


def load(file):
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def registry(monkeypatch):
    """The registry as it was, after a test that adds to it."""
    monkeypatch.setattr(FORMS, "_entries", dict(FORMS._entries))
    yield
    create.cache_clear()


def test_a_form_is_one_file(tmp_path, registry):
    file = tmp_path / "ranked_form.py"
    file.write_text(FORM.format(name="ranked", **CAREFUL) + HELPER)
    load(file)
    rows = pairs_file(
        tmp_path / "f.jsonl", {"question": "Who?", "answers": ["I.", "You."]}, {"question": 3, "answers": []}
    )
    pairs = read_mixture([(rows, "train", "ranked")], on_invalid="drop")
    assert [(pair.prompt, pair.chosen) for pair in pairs] == [("Who?", " I.")]
    assert pairs.dropped == {"'question' is not text": 1}


@pytest.mark.parametrize("name", forms())
def test_every_form_passes_its_check(name):
    assert type(create(name)) is forms()[name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": 'str(row.values["question"])'}, "null as 'question' becomes part of a text"),
        ({"question": 'row.values["question"]'}, "null as 'question' gives a pair without text"),
        ({"answers": '(" a", row.values["answers"][0])'}, "TypeError: 'NoneType' object is not subscriptable"),
        ({"question": 'row.text("absent")'}, "its examples give no pair"),
    ],
)
def test_a_form_that_lets_odd_values_through_is_refused_by_its_name(tmp_path, registry, change, message):
    file = tmp_path / "careless_form.py"
    file.write_text(FORM.format(name="careless", **CAREFUL | change) + HELPER)
    load(file)
    with pytest.raises(
        DeclarationError,
        match=f"careless_form.Ranked: .*{re.escape(message)}|careless_form.Ranked: {re.escape(message)}",
    ):
        create("careless")
