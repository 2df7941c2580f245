"""Invariance of reading grades to Markdown, tags, quotes, emoji and line wrapping; code is left out."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.style.prose import prose_of
from suites.style.readability import grade_fk, read

SENTENCES = (
    "Be kind to your friends.", "They will help you in turn.", "It is good to share.", "We all need help.",
    "Dr. Smith said so, e.g. to Mary and me!", "Nobody knows why the machine stopped yesterday.", "Is that all there is to it?",
    "The committee considered several alternatives before it decided.", "I didn't ask for it.",
)  # fmt: skip
DRESSES = {
    "bold": "**{}**", "underscores": "__{}__", "italic": "*{}*", "italic underscores": "_{}_", "both": "***{}***", "struck": "~~{}~~",
    "curly quotes": "“{}”", "straight quotes": '"{}"', "single quotes": "‘{}’", "guillemets": "«{}»", "low quotes": "„{}“",
    "emoji": "{}\U0001f600", "emoji before": "\U0001f449\U0001f3fd {}", "family": "{} \U0001f468\u200d\U0001f469\u200d\U0001f467",
    "footnote": "{}[1]", "named footnote": "{}[^a]", "superscript": "{}²", "b": "<b>{}</b>", "em": "<em>{}</em>", "br": "{}<br>",
    "xhtml br": "{}<br/>", "span": '<span class="x">{}</span>', "link": "[{}](https://example.com/a_b?c=d)", "code span": "`{}`",
    "paragraph": "<p>{}</p>", "parentheses": "({})", "brackets": "[{}]", "zero width": "{}\u200b", "entity": "{}&nbsp;",
}  # fmt: skip
texts = st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=8)


@pytest.mark.parametrize("dress", DRESSES)
@given(chosen=texts, every=st.booleans())
@settings(max_examples=25, deadline=None)
def test_no_dress_changes_a_grade(dress, chosen, every):
    dressed = [DRESSES[dress].format(s) if every or i % 2 == 0 else s for i, s in enumerate(chosen)]
    plain, other = read(" ".join(chosen)), read(" ".join(dressed))
    assert (other.words, other.sentences, other.syllables) == (plain.words, plain.sentences, plain.syllables)
    assert other.flags == plain.flags


@given(texts, st.integers(12, 90), st.sampled_from(("", "> ", "  ")))
@settings(max_examples=150, deadline=None)
def test_wrapped_lines_change_nothing(chosen, width, prefix):
    text = " ".join(chosen)
    wrapped = "\n".join(prefix + line for line in textwrap.wrap(text, width, break_on_hyphens=False))
    assert grade_fk(wrapped) == grade_fk(text) and read(wrapped).flags == read(text).flags
    assert grade_fk(wrapped.replace("\n", "\r\n")) == grade_fk(text)


@given(st.lists(st.sampled_from(SENTENCES), min_size=2, max_size=6))
@settings(max_examples=50, deadline=None)
def test_items_headings_and_paragraphs_count_as_sentences(chosen):
    plain = grade_fk(" ".join(chosen))
    bare = [s.rstrip(".!?") for s in chosen]
    assert grade_fk("\n".join(f"- {s}" for s in bare)) == plain
    assert grade_fk("\n".join(f"{i}. **{s}**" for i, s in enumerate(bare, 1))) == plain
    assert grade_fk("\n\n".join(bare)) == grade_fk("\n".join(f"## {s}" for s in bare)) == plain
    assert grade_fk("<ul>" + "".join(f"<li>{s}</li>" for s in bare) + "</ul>") == plain


@pytest.mark.parametrize(
    "text",
    [
        "If you are sad -> talk to a friend of yours. It will help you a lot.",
        "Use the form x = y when you want to say that both of them are the same.",
        "I think that a >= b is what you want to say to all of them here.",
        "We went home;\nthey stayed at the party with all of their friends.",
        "You can let them go to the park if you want them to have fun with it.",
        "The half of it is \\frac{1}{2} of what you have in the end of the day.",
        "return to the place from which you came and\nimport what you need for the day",
        "This is (as you can see) all that there is to say(really)",
        "The set {a, b} has two members and a < b and b > a as you know.",
    ],
)
def test_signs_of_code_in_prose_leave_it_prose(text):
    assert read(text).measurable and "code" not in read(text).flags


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("We met Mr. Smith Jr. and Prof. Jones vs. the others.", 1),
        ("It costs approx. 5 dollars, i.e. less than no. 7 does.", 1),
        ("They left the U.S. at 5 p.m. on a Monday. It rained.", 2),
        ("Is it true? No. That is what they said to all of us.", 3),
        ("She said \u201cNo\u201d. That is what they said to all of us.", 2),
    ],
)
def test_abbreviations_end_no_sentence_and_a_no_does(text, sentences):
    assert read(text).sentences == sentences


CODE = "total = 0\nfor i in range(10):\n    total += i\nprint(total)"
PROSE = "Here is the code that you need for it.\n\n{}\n\nIt adds all of the numbers up for you."


@pytest.mark.parametrize("code", [CODE, "{\n  \"a\": 1\n}", "| a | b |\n|---|---|\n| 1 | 2 |", "<div class='x'>\nhello\n</div>",
                                  "$ pip install numpy\n$ python run.py", "f(x);"])  # fmt: skip
def test_a_block_of_code_is_left_out_and_the_prose_around_it_graded(code):
    assert grade_fk(PROSE.format(code)) == grade_fk(PROSE.format("")) is not None
    assert read(PROSE.format(code)).flags == ("code",)


@given(st.text(max_size=200))
@settings(max_examples=300, deadline=None)
def test_the_prose_of_prose_is_itself(text):
    once = "\n\n".join(prose_of(text).units)
    assert all(unit and unit == " ".join(unit.split()) for unit in prose_of(once).units)
