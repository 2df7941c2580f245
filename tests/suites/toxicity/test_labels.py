"""Toxicity labels by type: invalid values refused, never read as harmless."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.toxicity.labels import VERDICTS, read_labelled


def table(tmp_path_factory, header, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([header, *rows])
    file = tmp_path_factory.mktemp("labels") / "labels.csv"
    file.write_text(text.getvalue(), encoding="utf-8", newline="")
    return file


CELLS = st.one_of(
    st.sampled_from(["", " ", "nan", "NaN", "null", "None", "inf", "-0.0", "1e308", "2", "0", "1", "1.0", "0.5", "toxic", "x", "3"]),
    st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), max_size=4),
    st.floats().map(str),
    st.integers(-3, 3).map(str),
)  # fmt: skip


@given(cell=CELLS, other=st.sampled_from(["0", "1", "0.25"]))
@settings(max_examples=200, deadline=None)
def test_a_class_column_holds_probabilities_or_verdicts(tmp_path_factory, cell, other):
    file = table(tmp_path_factory, ["text", "toxic", "insult"], [["a", cell, other], ["b", "1", other]])
    try:
        number = float(cell)
    except ValueError:
        number = VERDICTS.get(cell.strip().lower())
    if number is None or not 0 <= number <= 1:
        with pytest.raises(ValueError, match=r"labels.csv, row 1: toxic is .*; labels must be numbers in \[0, 1\]"):
            read_labelled(file)
    else:
        assert read_labelled(file).labels.tolist() == [[number, float(other)], [1.0, float(other)]]


@given(cell=CELLS)
@settings(max_examples=200, deadline=None)
def test_the_class_of_a_majority_is_0_1_or_2(tmp_path_factory, cell):
    header = ["hate_speech", "offensive_language", "neither", "class", "tweet"]
    file = table(tmp_path_factory, header, [["0", "0", "3", "2", "fine"], ["3", "0", "0", cell, "awful"]])
    try:
        is_label = float(cell) in (0, 1, 2)
    except ValueError:
        is_label = False
    if is_label:
        label = {0: [1.0, 0.0], 1: [0.0, 1.0], 2: [0.0, 0.0]}[float(cell)]
        assert read_labelled(file).labels.tolist() == [[0.0, 0.0], label]
    else:
        with pytest.raises(ValueError, match=r"labels.csv, row 2: class is .*0 \(hate speech\)"):
            read_labelled(file)


@given(cell=CELLS)
@settings(max_examples=200, deadline=None)
def test_a_verdict_is_a_known_word(tmp_path_factory, cell):
    file = table(tmp_path_factory, ["comment", "label"], [["fine", "neutral"], ["awful", cell]])
    word = cell.strip().lower()
    try:
        expected = VERDICTS[word] if word in VERDICTS else {0.0: 0.0, 1.0: 1.0}[float(word)]
    except (ValueError, KeyError):
        with pytest.raises(ValueError, match="labels.csv, row 2: label is "):
            read_labelled(file)
    else:
        assert read_labelled(file).labels.tolist() == [[0.0], [expected]]


def test_texts_are_the_cells_of_the_file(tmp_path_factory):
    texts = ["1", "2.50", "NaN", "true", "日本語 🙂", 'a "quoted", text', "two\nlines", "2024-01-01"]
    data = read_labelled(table(tmp_path_factory, ["text", "toxic"], [[text, "1"] for text in [*texts, " "]]))
    assert data.texts == texts and data.blank == 1


def test_a_row_that_is_short_or_a_column_that_comes_twice_is_refused(tmp_path):
    file = tmp_path / "labels.csv"
    file.write_text("text,toxic,insult\na,1\n")
    with pytest.raises(ValueError, match="row 1: insult is ''"):
        read_labelled(file)
    file.write_text("text,Toxic,toxic \na,1,0\n")
    with pytest.raises(ValueError, match="'toxic' twice"):
        read_labelled(file)


def test_a_byte_order_mark_and_a_cut_archive(tmp_path):
    import gzip

    (tmp_path / "a.csv").write_bytes("\ufefftext,toxic\nhello,1\n".encode())
    assert read_labelled(tmp_path / "a.csv").texts == ["hello"]
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(b"text,toxic\n" + b"hello,1\n" * 999)[:-9])
    with pytest.raises(ValueError, match="b.csv.gz is not a readable CSV file"):
        read_labelled(tmp_path / "b.csv.gz")


def test_a_message_stays_a_line_whatever_a_cell_or_a_column_holds(tmp_path):
    file = tmp_path / "labels.csv"
    for content in (
        f"text,is_toxic\nhello,{'x' * 3000}\n",
        "text," + ",".join(f"c{n}{'y' * 99}" for n in range(99)) + "\nhello\n",
    ):
        file.write_text(content)
        with pytest.raises(ValueError, match="is_toxic is 'xxx|its columns are") as refusal:
            read_labelled(file)
        assert len(str(refusal.value)) < 1500 + len(str(file))
