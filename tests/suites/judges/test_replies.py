"""Verdicts in written replies: read in every usual form, missing where the reply is ambiguous."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.judges.replies import exact_choice, final_choice
from suites.judges.templates import load_template

CHOICES = ("A", "B")
PLAIN = ("{}", "Fine. {}", "A is rude, B is not.\n{}", "The better answer is {}", "My choice: {}", "I prefer {}",
         "Therefore, {}", "Verdict - {}", "While it is shorter, the more helpful response is {}")  # fmt: skip
DRESSES = ("{}", "**{}**", "`{}`", "“{}”", "‘{}’", "({})", "[[{}]]", "<b>{}</b>", "<answer>{}</answer>", "\\boxed{{{}}}",
           "$\\boxed{{\\text{{{}}}}}$", "\u200b{}\ufeff", "__{}__", "「{}」", "{}\ufe0f")  # fmt: skip
ENDS = ("", ".", "!", "。", "．", "！", "…", " \n", ".**", '"}', " 😀", "\u2060", "</p>", ".\u200b")


@given(st.sampled_from(PLAIN), st.sampled_from(DRESSES), st.sampled_from(ENDS), st.booleans(), st.sampled_from(CHOICES))
@settings(max_examples=400, deadline=None)
def test_a_verdict_is_read_in_any_dress(sentence, dress, end, full_width, choice):
    letter = chr(ord(choice) + 0xFEE0) if full_width else choice
    assert final_choice(sentence.format(dress.format(letter)) + end, CHOICES) == choice


DOUBTFUL = (
    "I'm sorry, but I can't choose between A and {}", "They are equally good: a tie between A and {}", "not {}", "A or {}",
    "Answer B is terse and leaves out the warning, whereas Answer {}", "The worse answer is {}", "A vs. {}", "A/{}",
    "A, {}", "I prefer A over {}", "Which is better, A or {}", "1. A\n2. {}", "neither A nor {}", "It cannot be {}",
    "the answer is not {}", "Option A is better than option {}", "I refuse to pick {}", "vitamin {}", "the answer could be {}",
    "I am unable to say whether it is {}", "A\n{}", "A. {}", "grade: A-{}", "The first one deserves a {}", "A & {}",
)  # fmt: skip


@given(st.sampled_from(DOUBTFUL), st.sampled_from(DRESSES), st.sampled_from(("", ".", "!", "。", " 😀")))
@settings(max_examples=400, deadline=None)
def test_a_doubtful_reply_is_no_verdict(sentence, dress, end):
    if "answer" in dress and not sentence.startswith(("A", "I prefer")):
        return  # a tag that marks the answer makes it one
    assert final_choice(sentence.format("B") + end, CHOICES) is None
    inline = ("**{}**", "“{}”", "<b>{}</b>", "({})")
    if dress in inline:
        assert final_choice(sentence.format(dress.format("B")) + end, CHOICES) is None


@pytest.mark.parametrize(
    "reply", ["", " ", "...", "C", "Is it B?", "Is it B？", "<think>It is B", "Both are fine answers.", "AB"]
)
def test_no_letter_no_verdict(reply):
    assert final_choice(reply, CHOICES) is None


def test_thoughts_are_not_the_reply():
    assert final_choice("<think>A, surely. A</think>\nB", CHOICES) == "B"
    assert final_choice("<think>Both. Therefore the answer is B</think>", CHOICES) is None


@given(st.text(max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_choice_or_none_and_a_full_reply_is_one(text):
    assert final_choice(text, CHOICES) in (*CHOICES, None)
    assert exact_choice(text, ("m", "M")) in ("m", "M", None)


@pytest.mark.parametrize(
    ("reply", "p_first"),
    [(" m", 1.0), ("**M**", 0.0), ("M.", 0.0), ("“m”", 1.0), ("m or M", None), ("model", None), ("", None)],
)
def test_a_template_of_one_token_reads_the_whole_reply(reply, p_first):
    assert load_template("alpaca_eval").read(reply) == p_first


def test_choices_may_be_digits_and_lower_case():
    assert final_choice("Response 1 is longer. The better response is 2.", ("1", "2")) == "2"
    assert final_choice("**a**", ("a", "b")) == "a"
    assert final_choice("<b>a</b>", ("a", "b")) is None  # a tag, or both choices
    assert final_choice("it is between 1 and 2", ("1", "2")) is None
