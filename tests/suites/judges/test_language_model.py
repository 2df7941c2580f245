"""A local language model as a judge: the log-probs of its choices, in both orders."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from scipy.special import expit

from harness.records import Generation, Status
from suites.alpaca.win_rate import win_rate
from suites.judges.language_model import LanguageModelJudge
from suites.judges.templates import Template, load_template
from tests.chat_model import save_chat_model

PAIRS = (
    ["w1 w2", "Why?", "w1"],
    ["w3 w4", "because it is long " * 4, "w5"],
    ["w6", "so", "w5 w7"],
)


@pytest.fixture(scope="module", params=["llama", "gpt_neox"])
def folder(request, tmp_path_factory):
    return save_chat_model(tmp_path_factory.mktemp(request.param), request.param)


@pytest.fixture(scope="module")
def judge(folder):
    return LanguageModelJudge.load(folder, load_template("alpaca_eval"))


def test_the_verdict_is_the_models_probability_of_the_choice(judge):
    """Against the plain forward pass over each question's own tokens."""
    tokenizer, model = judge.scorer.tokenizer, judge.scorer.model
    for prompt, first, second, verdict in zip(*PAIRS, judge.prefer(*PAIRS), strict=True):
        messages = judge.template.render(prompt, first, second)
        ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt")["input_ids"]
        with torch.inference_mode():
            logp = model(ids).logits[0, -1].double().log_softmax(-1)
        choice = [tokenizer(text, add_special_tokens=False)["input_ids"][0] for text in judge.template.choices]
        assert verdict.p_first == pytest.approx(float(expit(float(logp[choice[0]] - logp[choice[1]]))), abs=1e-5)


def test_batches_and_their_order_change_nothing(judge):
    small = replace(judge, scorer=replace(judge.scorer, batch_size=1))
    ours, theirs = judge.prefer(*PAIRS), small.prefer(*(part[::-1] for part in PAIRS))[::-1]
    assert [v.p_first for v in ours] == pytest.approx([v.p_first for v in theirs], abs=1e-5)


def test_swapped_choices_swap_the_verdict(judge):
    swapped = replace(judge, template=replace(judge.template, choices=judge.template.choices[::-1]))
    for ours, theirs in zip(judge.prefer(*PAIRS), swapped.prefer(*PAIRS), strict=True):
        assert ours.p_first + theirs.p_first == pytest.approx(1.0, abs=1e-9)


def test_a_choice_of_several_tokens_has_the_sum_of_their_log_probs(judge):
    scorer = judge.scorer
    prompt, tail = [6, 7, 8], [9, 10, 11]
    (whole,) = scorer.logprobs([prompt], [tail])
    steps = scorer.logprobs([prompt, prompt + tail[:1], prompt + tail[:2]], [[t] for t in tail])
    assert whole == pytest.approx(sum(steps), abs=1e-5)


def test_a_question_longer_than_the_context_is_an_error_and_the_others_go_on(judge):
    long, short = judge.prefer(["Hi?"] * 2, ["w1 " * 2000, "w1"], ["w2", "w2"])
    assert (long.p_first, long.status) == (None, Status.ERROR) and "context" in long.reason
    assert short.p_first == pytest.approx(judge.prefer(["Hi?"], ["w1"], ["w2"])[0].p_first, abs=1e-6)


def test_responses_beyond_ascii_and_blank_have_a_verdict_and_one_of_100_000_characters_a_row(judge):
    strange = ["日本語 🙂 e\u0301", " \n\t\u3000", "\x00", "x" * 100_000]
    *verdicts, long = judge.prefer(["Hi?"] * 4, strange, ["w2"] * 4)
    assert all(verdict.status is Status.OK and 0.0 <= verdict.p_first <= 1.0 for verdict in verdicts)
    assert long.status is Status.ERROR and "context" in long.reason


def test_both_orders_through_the_win_rate(judge):
    rows = [
        Generation(f"p{i}#0", f"p{i}", prompt, text, 1)
        for i, (prompt, text) in enumerate(zip(PAIRS[0], PAIRS[1], strict=False))
    ]
    items = win_rate(rows, {f"p{i}": text for i, text in enumerate(PAIRS[2])}, judge, note_judge=True).items
    forth, back = judge.prefer(*PAIRS), judge.prefer(PAIRS[0], PAIRS[2], PAIRS[1])
    for item, ours, theirs in zip(items, forth, back, strict=True):
        assert item.value == pytest.approx((ours.p_first + 1 - theirs.p_first) / 2, abs=1e-6)
        assert item.detail["judge_revision"] == judge.revision


def test_a_tokenizer_that_cannot_tell_the_choices_apart_is_refused(judge, word_tokenizer):
    scorer = SimpleNamespace(tokenizer=word_tokenizer, context=None)  # knows neither m nor M: both are <unk>
    with pytest.raises(ValueError, match="to the same tokens"):
        replace(judge, scorer=scorer).prefer(*PAIRS)


def test_revision_follows_weights_and_prompt(folder, judge, tmp_path):
    assert LanguageModelJudge.load(folder, judge.template).revision == judge.revision
    assert LanguageModelJudge.load(folder, load_template("upo")).revision != judge.revision


def test_log_probs_that_are_no_numbers_are_an_error(judge):
    broken = SimpleNamespace(
        tokenizer=judge.scorer.tokenizer, context=None, logprobs=lambda prompts, tails: [math.nan] * len(prompts)
    )
    (verdict,) = replace(judge, scorer=broken).prefer(["w1"], ["w2"], ["w3"])
    assert (verdict.p_first, verdict.status) == (None, Status.ERROR)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_whose_logits_are_no_numbers_gives_error_rows(folder, value):
    broken = LanguageModelJudge.load(folder, load_template("alpaca_eval"))
    with torch.no_grad():
        broken.scorer.model.get_output_embeddings().weight[7] = value
    assert {(v.p_first, v.status) for v in broken.prefer(*PAIRS)} == {(None, Status.ERROR)}


class TestTemplate:
    @pytest.mark.parametrize("name", ["upo", "alpaca_eval"])
    def test_shows_everything_once_in_its_order(self, name):
        text = "".join(m["content"] for m in load_template(name).render("<<prompt>>", "<<first>>", "<<second>>"))
        places = [text.index(part) for part in ("<<prompt>>", "<<first>>", "<<second>>")]
        assert places == sorted(places) and "{" not in text

    def test_asks_what_the_paper_asks(self):
        text = load_template("upo").messages[-1][1]
        assert all(part in text for part in ("safe", "helpful", "longer than it needs", "last character"))

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("messages: []\nchoices: [A, B]\nanswer: token\ncue: ''\nmax_tokens: 1", "{prompt} must occur once"),
            ("messages: 3", "not a prompt template"),
            ("choices: [A, B]", "not a prompt template"),
        ],
    )
    def test_a_file_that_is_no_template_is_one_clear_error(self, tmp_path, text, complaint):
        (tmp_path / "mine.yaml").write_text(text)
        with pytest.raises(ValueError, match=complaint):
            load_template(str(tmp_path / "mine.yaml"))

    def test_choices_must_differ(self):
        with pytest.raises(ValueError, match="two different characters"):
            Template("x", (("user", "{prompt}{first}{second}"),), ("A", "A"), "token", "", 1)
