"""vLLM against the Hugging Face backend on the same checkpoints, greedily decoded."""

from __future__ import annotations

from contextlib import closing

import pytest

from harness.records import Status
from suites.generation.decoding import Decoding
from suites.generation.huggingface import HuggingFaceGenerator
from suites.generation.vllm_engine import VLLMGenerator, VLLMScorer
from suites.judges.language_model import HuggingFaceScorer, LanguageModelJudge
from suites.judges.templates import load_template

NOISE = 1e-4
"""Largest difference of a token's log-probability in float32, where the least probable tokens stand at -60."""


@pytest.fixture(scope="module")
def vllm(checkpoint):
    with closing(VLLMGenerator.load(checkpoint, dtype="float32", max_model_len=512)) as generator:
        yield generator


@pytest.fixture(scope="module")
def hugging_face(checkpoint):
    return HuggingFaceGenerator.load(checkpoint)


def test_greedy_outputs_are_the_same(vllm, hugging_face, prompts, record_property):
    greedy = Decoding(32, temperature=0.0)
    ours, theirs = hugging_face.generate(prompts, greedy), vllm.generate(prompts, greedy)
    assert [g.item for g in ours] == [g.item for g in theirs]
    equal = sum(
        (a.response, a.n_tokens, a.status) == (b.response, b.n_tokens, b.status)
        for a, b in zip(ours, theirs, strict=False)
    )
    print(f"\nequal greedy outputs: {equal} of {len(ours)}")
    assert equal == len(ours)
    assert {g.status for g in ours} >= {Status.TRUNCATED}


def test_log_probs_are_the_same_up_to_noise(vllm, hugging_face, prompts):
    ours = HuggingFaceScorer(hugging_face.model, hugging_face.tokenizer)
    theirs = VLLMScorer(vllm.llm)
    questions = [ours.tokenizer(text, add_special_tokens=False)["input_ids"] for text in prompts.values()]
    answers = [[5 + i % 60] for i in range(len(questions))]
    pairs = zip(ours.logprobs(questions, answers), theirs.logprobs(questions, answers), strict=True)
    largest = max(abs(a - b) for a, b in pairs)
    print(f"\nlargest difference of a log-prob: {largest:.1e}")
    assert largest < NOISE


def test_a_judge_says_the_same_on_both(vllm, hugging_face):
    template = load_template("alpaca_eval")
    asked = ["w1 w2"] * 6, [f"w{i}" for i in range(6)], [f"w{9 - i} w3" for i in range(6)]
    verdicts = [
        LanguageModelJudge("judge", "1", scorer, template).prefer(*asked)
        for scorer in (HuggingFaceScorer(hugging_face.model, hugging_face.tokenizer), VLLMScorer(vllm.llm))
    ]
    assert [v.p_first for v in verdicts[0]] == pytest.approx([v.p_first for v in verdicts[1]], abs=NOISE)
    assert len({round(v.p_first, 6) for v in verdicts[0]}) > 1


def test_samples_depend_on_prompt_trial_and_seed(vllm, prompts):
    two = Decoding(8, samples=2)
    once, again = vllm.generate(prompts, two), vllm.generate(prompts, two)
    assert once == again
    assert [(g.item, g.trial) for g in once[:4]] == [("p0#0", 0), ("p0#1", 1), ("p1#0", 0), ("p1#1", 1)]
    assert any(a.response != b.response for a, b in zip(once[::2], once[1::2], strict=True))
    assert once != vllm.generate(prompts, Decoding(8, samples=2, seed=1))


def test_a_prompt_that_cannot_be_answered_is_an_error_row_and_the_others_go_on(vllm, prompts):
    hard = {"empty": "", "endless": "w1 " * 2000, "no turn": []} | dict(list(prompts.items())[:3])
    rows = vllm.generate(hard, Decoding(4, temperature=0.0))
    assert [row.status for row in rows[:3]] == [Status.ERROR] * 3
    assert all(row.status is not Status.ERROR for row in rows[3:]) and len(rows) == 6
    assert rows[3:] == vllm.generate(dict(list(prompts.items())[:3]), Decoding(4, temperature=0.0))
