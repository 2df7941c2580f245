"""Lexical style: counts by hand, texts without a grade, rewards and diversity in closed form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Generation, Status
from suites.style.lexical import distinct, style, type_token_ratio
from suites.style.readability import (
    grade_consensus,
    grade_fk,
    has_consensus,
    read,
    readability,
    readability_reward,
    reading_ease,
    syllables,
)
from tests.paths import SHARED


def generations(*texts: str) -> list[Generation]:
    return [Generation(f"p{i}#0", f"p{i}", "Q", text, len(text.split()), cell="c") for i, text in enumerate(texts)]


@pytest.mark.parametrize(
    ("text", "words", "sentences", "n_syllables"),
    [
        ("The cat sat on the mat.", 6, 1, 6),
        ("Go home now. We will eat soon!", 7, 2, 7),
        ("Photosynthesis converts luminous energy into chemical potential.", 7, 1, 21),
        ("Dr. Smith paid 3 dollars, e.g. for tea.", 8, 1, 9),
        ("It works. Version 2.5 is out now.", 6, 2, 7),
    ],
)
def test_hand_counted(text, words, sentences, n_syllables):
    reading = read(text)
    assert (reading.words, reading.sentences, reading.syllables) == (words, sentences, n_syllables)
    assert grade_fk(text) == pytest.approx(
        min(0.39 * words / sentences + 11.8 * n_syllables / words - 15.59, 20.0), abs=1e-12
    )
    assert reading_ease(text) == pytest.approx(
        206.835 - 1.015 * words / sentences - 84.6 * n_syllables / words, abs=1e-12
    )


@pytest.mark.parametrize(
    ("word", "count"),
    [("a", 1), ("the", 1), ("people", 2), ("something", 2), ("idea", 3), ("area", 3), ("little", 2), ("tables", 2),
     ("wanted", 2), ("walked", 1), ("experience", 4), ("society", 4), ("movement", 2), ("isn't", 2), ("can't", 1),
     ("nation", 2), ("being", 2), ("rhythm", 1), ("hmm", 1), ("CREATION", 3)],
)  # fmt: skip
def test_syllables(word, count):
    assert syllables(word) == count


@pytest.mark.parametrize(
    ("text", "flag"),
    [
        ("", "empty"),
        (" \n", "empty"),
        ("Yes.", "short"),
        ("Unfortunately.", "short"),
        ("!!! 123", "short"),
        ("Αυτό είναι ένα κείμενο στα ελληνικά για δοκιμή.", "non-english"),
        ("这是一个用来测试的中文句子 它有好几个词 而且 很长", "non-english"),
        ("Dieses Programm wurde gestern von einem Team aus vielen Ländern fertiggestellt und läuft seitdem auf allen"
         " Rechnern ohne jede Störung, was niemanden wundert.", "non-english"),
        ("```python\nfor i in range(10):\n    print(i)\n```", "all-code"),
        ("def f(x):\n    return x + 1\nfor (i = 0; i < 3; i++) {\n    f(i);\n}", "all-code"),
    ],
)  # fmt: skip
def test_what_has_no_grade_is_flagged_and_not_scored(text, flag):
    assert flag in read(text).flags
    assert grade_fk(text) is None and reading_ease(text) is None and readability(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "Bonjour, je suis très content de vous voir ici aujourd'hui.",
        "Ich habe gestern einen Hund gesehen und er war sehr groß.",
        "El perro come mucho y luego se va a dormir en la casa.",
        "Il gatto è sul tavolo e non vuole scendere da lì.",
        "Eu gosto muito de comer pão com manteiga de manhã.",
        "Ik ben gisteren naar de winkel gegaan om brood te kopen.",
    ],
)
def test_a_short_text_in_another_language_with_latin_letters(text):
    assert read(text).flags == ("non-english",) and grade_fk(text) is None


def test_foreign_names_are_no_foreign_language():
    assert read("Jean de la Fontaine and Charles de Gaulle met in El Paso.").measurable


@pytest.mark.parametrize(
    "text",
    [
        '{\n  "name": "Ann",\n  "age": 3,\n  "likes": ["tea", "cake"]\n}',
        "| name | age |\n|---|---|\n| Ann | 3 |\n| Bob | 4 |\n| Cid | 5 |",
        r"$$\int_0^1 x^2 \, dx = \frac{1}{3}$$",
        "<div><p class='x'>Hello there, all of you</p></div>",
        "SELECT name, age, city FROM users WHERE age > 3 ORDER BY name",
        "$ pip install numpy scipy pandas and more\n$ python run.py --seed 3",
    ],
)
def test_data_markup_and_tables_are_no_prose(text):
    assert read(text).flags == ("code", "all-code") and grade_fk(text) is None


def test_an_address_is_no_word():
    plain = "The details of the plan are on this page."
    assert grade_fk(f"{plain[:-1]} https://example.com/a/very/long/path?q=1&r=2") == grade_fk(plain)
    assert read("https://www.example.com/a/very/long/path/to/something").flags == ("short",)


def test_words_without_an_end_of_sentence_are_at_the_bound_and_flagged():
    text = "we went to the shop and bought bread " * 20
    assert read(text).flags == ("run-on",) and grade_fk(text) == 20.0
    assert read("a" * 100_000).flags == ("short",)


def test_lists_end_sentences_and_marks_are_not_words():
    flat = "You will need these things. Two eggs. One cup of milk. Some flour."
    listed = "You will need these things\n\n1. Two eggs\n2) One cup of milk\n- Some flour"
    assert read(listed).flags == ("list",)
    assert grade_fk(listed) == grade_fk(flat)


def test_prose_around_code_is_graded_without_it():
    prose = "Here is a loop that counts to ten."
    with_code = prose + "\n```python\nfor iteration in range(number_of_iterations):\n    administer(iteration)\n```"
    assert read(with_code).flags == ("code",)
    assert grade_fk(with_code) == grade_fk(prose)


@given(st.text(max_size=400))
def test_any_text_is_graded_within_bounds_or_flagged(text):
    grade = grade_fk(text)
    assert read(text).flags if grade is None else -3.4 <= grade <= 20.0
    reward = readability(text)
    assert (reward is None) == (grade is None)
    assert reward is None or 0.0 <= reward <= 1.0


def test_a_very_long_text_is_graded():
    sentence = "We went to the shop and we bought a loaf of bread. "
    assert grade_fk(sentence * 2000) == pytest.approx(grade_fk(sentence))


@pytest.mark.parametrize(("grade", "reward"), [(-2.0, 1.0), (4.0, 1.0), (6.5, 0.5), (9.0, 0.0), (15.0, 0.0)])
def test_readability_reward(grade, reward):
    assert readability_reward(grade) == reward


def test_diversity_closed_forms():
    assert type_token_ratio("a a a a") == 0.25
    assert distinct(["a b c", "a b d"], 1) == 4 / 6
    assert distinct(["a b c", "a b d"], 2) == 3 / 4
    assert distinct(["a"], 2) == 0.0


def test_every_generation_has_a_row_for_every_objective():
    rows = generations("This is a plain answer to it.", "", "No.", "x")
    rows[3] = Generation("p3#0", "p3", "Q", "", 0, Status.ERROR, cell="c")
    items, measures = style(rows)
    table = {(item.objective, item.item): (item.value, item.status, item.detail) for item in items}
    assert {key[1] for key in table} == {"p0#0", "p1#0", "p2#0", "p3#0"}
    assert table["grade_fk", "p0#0"][1] is Status.OK
    assert table["grade_fk", "p1#0"] == (20.0, Status.EMPTY, {"flags": ["empty"]})
    assert table["readability", "p1#0"][:2] == (0.0, Status.EMPTY)
    assert table["grade_fk", "p2#0"] == (None, Status.UNPARSABLE, {"flags": ["short"]})
    assert table["length", "p2#0"][:2] == (1.0, Status.OK)
    assert table["length", "p3#0"][:2] == (None, Status.ERROR)
    assert {m.name: m.value for m in measures}["ungraded"] == 0.5
    assert all(m.cell == "c" for m in measures) and all(item.cell == "c" for item in items)


def test_nothing_to_measure():
    assert style([]) == ([], [])


def test_consensus_is_absent_or_named_apart(monkeypatch):
    """Where the pronunciation data is missing, textstat would download it; here it is refused in one line."""
    monkeypatch.setattr("nltk.data.path", [])
    assert not has_consensus()
    with pytest.raises(ValueError, match="cmudict"):
        grade_consensus("This sentence has not been graded before now.")
    assert "grade_consensus" not in {item.objective for item in style(generations("This is a plain answer to it."))[0]}


@pytest.mark.skipif(not has_consensus(), reason="nltk's cmudict is not on this machine")
def test_consensus_agrees_with_textstat_and_is_compared():
    import textstat

    text = "The committee considered several alternatives before it decided. Nobody was happy with the result."
    assert grade_consensus(text) == textstat.text_standard(text, float_output=True)
    items, measures = style(generations(text))
    values = {item.objective: item.value for item in items}
    compared = {m.name: m.value for m in measures}
    assert values["readability_consensus"] == readability_reward(values["grade_consensus"])
    assert compared["grade_fk_minus_consensus"] == pytest.approx(values["grade_fk"] - values["grade_consensus"])


def test_ranks_simple_below_hard_on_real_text():
    """Words and sentences of textstat, which need no data, on real dialogues where those are at hand."""
    import gzip
    import json

    import textstat

    file = SHARED / "hh_rlhf" / "pairs.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"{file} is absent")
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["chosen"] for _, line in zip(range(200), lines, strict=False)]
    plain = [text for text in texts if read(text).flags == ()]
    assert len(plain) > 100
    theirs = [textstat.lexicon_count(text) for text in plain]
    ours = [read(text).words for text in plain]
    assert sum(abs(a - b) <= 0.05 * b + 1 for a, b in zip(ours, theirs, strict=True)) > 0.95 * len(plain)
