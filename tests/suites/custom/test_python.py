"""Scorers in a process of their own: an error or a hang costs its response and nothing else."""

from __future__ import annotations

import time

import pytest

from suites.custom import Running, create, kinds
from suites.custom.isolated import HANGS, ScorerFailed

SCORER = """
import sys, time

def count(response):
    print("noise on the standard output")
    return response.count("!")

def pair(prompt, response):
    return len(prompt) - len(response)

def moody(response):
    if response == "raise":
        raise ValueError("two\\nlines")
    if response == "hang":
        time.sleep(60)
    if response == "exit":
        sys.exit(3)
    return {"nan": float("nan"), "text": "seven", "flag": True}.get(response, 1.5)
"""


@pytest.fixture
def score(tmp_path):
    kinds()
    (tmp_path / "scorer.py").write_text(SCORER, encoding="utf-8")

    def scored(function: str, responses: list[str], prompts: list[str] | None = None, timeout: float = 5.0):
        scorer = create("python", {"python": f"{tmp_path / 'scorer.py'}:{function}", "timeout": timeout})
        return scorer.score(prompts or [""] * len(responses), responses, Running())

    return scored


def test_what_the_function_prints_harms_nothing(score):
    assert [value.value for value in score("count", ["a!", "", "!!\n!"])] == [1.0, 0.0, 3.0]


def test_a_function_may_take_the_prompt_as_well(score):
    assert [value.value for value in score("pair", ["abc"], ["abcde"])] == [2.0]


def test_only_the_response_at_fault_has_no_value(score):
    values = score("moody", ["fine", "raise", "nan", "text", "flag", "exit", "fine"])
    assert [value.value for value in values] == [1.5, None, None, None, 1.0, None, 1.5]
    assert [value.reason for value in values[1:4]] == [
        "ValueError: two",
        "it returned nan, which is no finite number",
        "it returned 'seven', which is no number",
    ]
    assert values[5].reason == "the scorer's process ended"


def test_a_hang_ends_at_the_time_limit(score):
    started = time.monotonic()
    values = score("moody", ["fine", "hang", "fine"], timeout=0.3)
    assert [value.value for value in values] == [1.5, None, 1.5]
    assert values[1].reason == "no value within 0.3 s" and time.monotonic() - started < 10


def test_a_scorer_that_hangs_again_and_again_is_given_up(score):
    values = score("moody", ["hang"] * (HANGS + 4) + ["fine"], timeout=0.1)
    assert all(value.value is None for value in values)
    assert [value.reason for value in values[HANGS:]] == [
        f"not scored: the scorer gave no value on {HANGS} responses before"
    ] * 5


@pytest.mark.parametrize(
    ("function", "message"),
    [("missing", "AttributeError"), ("sys", "TypeError")],
)
def test_a_scorer_that_cannot_be_loaded_is_one_line(score, function, message):
    with pytest.raises(ScorerFailed, match=message):
        score(function, ["text"])


@pytest.mark.parametrize("python", ["scorer.py", "scorer:count", "scorer.py:", "scorer.py:a b"])
def test_a_function_is_named_by_file_and_name(python):
    with pytest.raises(ValueError, match="write it as FILE.py:FUNCTION"):
        create("python", {"python": python})


def test_a_pattern_that_takes_for_ever_costs_its_response(monkeypatch):
    monkeypatch.setattr("suites.custom.regex.SECONDS", 0.5)
    values = create("regex", {"regex": "(a+)+$"}).score([""] * 2, ["a" * 40 + "b", "aa"], Running())
    assert [value.value for value in values] == [None, 1.0]


def test_a_rate_is_per_hundred_words():
    values = create("regex", {"regex": "!", "per": "100 words"}).score(["", ""], ["a b c d!", ""], Running())
    assert [value.value for value in values] == [25.0, 0.0]
