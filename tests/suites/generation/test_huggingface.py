"""Generation with transformers: invariance to batches and order, decoding against closed forms, faults as error rows."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.records import Status
from suites.generation.decoding import Decoding, choose, uniforms
from suites.generation.huggingface import HuggingFaceGenerator, generate
from suites.generation.vllm_engine import VLLMGenerator
from trainers.tokens.text import decode, encode_prompt


@pytest.fixture(scope="module")
def generator(tiny_llama, word_tokenizer):
    return HuggingFaceGenerator(tiny_llama, word_tokenizer)


@contextlib.contextmanager
def ends(model, eos):
    """Let generation end at these tokens instead."""
    before = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = eos
    try:
        yield
    finally:
        model.generation_config.eos_token_id = before


def test_checkpoint_folder_gives_the_same(checkpoint, generator, prompts):
    decoding = Decoding(8, seed=3)
    assert generate(checkpoint, prompts, decoding) == generator.generate(prompts, decoding)


@pytest.mark.parametrize("batch_size", [1, 7, 40])
def test_batches_and_padding_change_nothing(generator, prompts, batch_size):
    whole = generator.generate(prompts, Decoding(12, batch_size=64))
    assert generator.generate(prompts, Decoding(12, batch_size=batch_size)) == whole


def test_order_and_company_change_nothing(generator, prompts):
    decoding = Decoding(12)
    whole = {g.item: g for g in generator.generate(prompts, decoding)}
    reversed_ = generator.generate(dict(reversed(prompts.items())), decoding)
    assert [g.cluster for g in reversed_] == list(reversed(prompts))
    assert all(whole[g.item] == g for g in reversed_)
    assert generator.generate({"p7": prompts["p7"]}, decoding) == [whole["p7#0"]]


def test_seeds_and_trials_differ_and_repeat(generator, prompts):
    decoding = Decoding(12, samples=3, seed=1)
    first = generator.generate(prompts, decoding)
    assert first == generator.generate(prompts, decoding)
    assert [g.item for g in first[:4]] == ["p0#0", "p0#1", "p0#2", "p1#0"]
    assert [g.trial for g in first[:3]] == [0, 1, 2]
    by_trial = [[g.response for g in first if g.trial == trial] for trial in range(3)]
    assert by_trial[0] != by_trial[1] != by_trial[2]
    other = [g.response for g in generator.generate(prompts, Decoding(12, seed=2))]
    assert other != by_trial[0]


def test_a_longer_limit_extends_the_response(generator, prompts):
    short = generator.generate(prompts, Decoding(5))
    long = generator.generate(prompts, Decoding(12))
    assert all(b.response.startswith(a.response) for a, b in zip(short, long, strict=True))


def test_global_random_numbers_are_neither_used_nor_moved(generator, prompts):
    torch.manual_seed(0)
    state = torch.get_rng_state()
    first = generator.generate(prompts, Decoding(6))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(1)
    assert generator.generate(prompts, Decoding(6)) == first


def test_greedy_is_that_of_transformers(generator, prompts, word_tokenizer, tiny_llama):
    ours = generator.generate(prompts, Decoding(10, temperature=0.0))
    for generation in ours:
        ids = torch.tensor([encode_prompt(word_tokenizer, generation.prompt)])
        theirs = tiny_llama.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=10, do_sample=False)
        assert decode(word_tokenizer, theirs[0, ids.shape[1] :].tolist()) == generation.response


def test_samples_follow_the_model(generator, tiny_llama, word_tokenizer):
    """First tokens of 4,000 samples against the softmax: every count within 4.5 standard deviations."""
    n = 4000
    ids = torch.tensor([encode_prompt(word_tokenizer, "w1 w2")])
    with torch.inference_mode():
        p = torch.softmax(tiny_llama(ids).logits[0, -1].double() / 0.8, -1).numpy()
    sampled = generator.generate({"p": "w1 w2"}, Decoding(1, temperature=0.8, samples=n, batch_size=1000))
    words = Counter(g.response for g in sampled)
    expected = {decode(word_tokenizer, [i]): p[i] for i in range(4, len(p))}
    deviations = [abs(words[w] - n * q) / np.sqrt(n * q * (1 - q)) for w, q in expected.items() if n * q > 5]
    assert len(deviations) > 10 and max(deviations) < 4.5


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-6, 6, width=32), min_size=2, max_size=8),
    st.floats(0.05, 1.0),
    st.floats(0, 0.999),
    st.floats(0.1, 3),
)
def test_choice_inverts_the_nucleus_distribution(logits, top_p, u, temperature):
    token = choose(torch.tensor([logits]), torch.tensor([u], dtype=torch.float64), temperature, top_p).item()
    weights = np.exp(np.array(logits, dtype=np.float32).astype(float) / temperature)
    p = weights / weights.sum()
    ranked = sorted(range(len(p)), key=lambda i: (-p[i], i))
    before = np.cumsum([p[i] for i in ranked]) - [p[i] for i in ranked]
    nucleus = {i for i, mass in zip(ranked, before, strict=True) if mass < top_p - 1e-12}
    near = {i for i, mass in zip(ranked, before, strict=True) if mass < top_p + 1e-12}
    assert token in near and ranked[0] in nucleus
    if nucleus == near:
        cumulative = np.cumsum([p[i] if i in nucleus else 0.0 for i in range(len(p))])
        below = cumulative[token - 1] if token else 0.0
        assert below - 1e-9 <= u * cumulative[-1] <= cumulative[token] + 1e-9


def test_choice_never_falls_off_the_end():
    logits = torch.tensor([[0.0, 0.0, -200.0]])
    assert choose(logits, torch.tensor([1 - 2**-53], dtype=torch.float64), 1.0, 1.0).item() == 1


def test_tokens_are_counted_with_the_end_and_decoded_without(generator, prompts, word_tokenizer):
    for generation in generator.generate(prompts, Decoding(12)):
        words = generation.response.split()
        assert generation.response == "".join(f" {word}" for word in words)
        if "<unk>" not in words and generation.status is Status.OK:
            assert generation.n_tokens >= len(words) + 1
        if generation.status is Status.TRUNCATED:
            assert generation.n_tokens == 12


def test_a_response_without_end_is_truncated_and_nothing_is_empty(generator, tiny_llama, prompts):
    everything = list(range(tiny_llama.config.vocab_size))
    with ends(tiny_llama, everything):
        silent = generator.generate(prompts, Decoding(5))
    assert {(g.status, g.response, g.n_tokens) for g in silent} == {(Status.EMPTY, "", 1)}
    statuses = Counter(g.status for g in generator.generate(prompts, Decoding(12)))
    assert statuses[Status.OK] > 0 and statuses[Status.TRUNCATED] > 0


def test_the_context_bounds_the_response(generator, word_tokenizer):
    """The model has 48 positions: a prompt of 44 leaves 4, one of 48 none."""
    prompts = {"fits": " ".join(["w1"] * 43), "full": " ".join(["w1"] * 47), "short": "w1"}
    fits, full, short = generator.generate(prompts, Decoding(20, seed=5))
    assert fits.n_tokens <= 4 and fits.status in (Status.TRUNCATED, Status.OK)
    assert (full.status, full.response, full.n_tokens) == (Status.ERROR, "", 0)
    assert short == generator.generate({"short": "w1"}, Decoding(20, seed=5))[0]


def test_a_crashing_prompt_is_an_error_and_the_others_go_on(
    generator, tiny_llama, prompts, word_tokenizer, monkeypatch
):
    whole = generator.generate(prompts, Decoding(8))
    words = set(prompts["p11"].split()[:2])
    poison = set(word_tokenizer.convert_tokens_to_ids(words))
    forward = type(tiny_llama).forward

    def crash(self, input_ids, **kwargs):
        if any(poison <= set(row) for row in input_ids.tolist()):
            raise RuntimeError("poisoned")
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(tiny_llama), "forward", crash)
    bad = {key for key, prompt in prompts.items() if words <= set(prompt.split())}
    assert "p11" in bad and len(bad) < len(prompts)
    for before, after in zip(whole, generator.generate(prompts, Decoding(8)), strict=True):
        assert after.status is Status.ERROR if after.cluster in bad else after == before


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_numbers_are_error_rows(generator, tiny_llama, prompts, value, temperature):
    """A head that overflows, as of a broken merge: every prompt has a row, and none is a text to be judged."""
    head = tiny_llama.lm_head.weight
    before = head[5].clone()
    with torch.no_grad():
        head[5] = value
    try:
        rows = generator.generate(prompts, Decoding(4, temperature=temperature))
    finally:
        with torch.no_grad():
            head[5] = before
    assert [row.cluster for row in rows] == list(prompts)
    assert {(row.status, row.response, row.n_tokens) for row in rows} == {(Status.ERROR, "", 0)}


def test_a_response_that_breaks_later_is_an_error_and_the_others_go_on(generator, tiny_llama, prompts, monkeypatch):
    """One prompt's logits become NaN at its third token."""
    decoding = Decoding(8)
    whole = {row.cluster: row for row in generator.generate(prompts, decoding)}
    poison = next(key for key, row in whole.items() if row.n_tokens >= 4)
    length = len(encode_prompt(generator.tokenizer, prompts[poison]))
    forward = type(tiny_llama).forward

    def broken(self, input_ids, attention_mask, **kwargs):
        out = forward(self, input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        if attention_mask.sum() == length + 2:  # alone in its batch
            out.logits[:] = float("nan")
        return out

    monkeypatch.setattr(type(tiny_llama), "forward", broken)
    for key in prompts:
        (row,) = generator.generate({key: prompts[key]}, decoding)
        same_length = len(encode_prompt(generator.tokenizer, prompts[key])) in (length, length + 1, length + 2)
        assert row.status is Status.ERROR if key == poison else same_length or row == whole[key]


@pytest.mark.parametrize("limits", [[-np.inf, 0.0], [0.0, -np.inf, -np.inf]])
def test_a_token_that_a_model_rules_out_is_no_fault(limits):
    assert choose(torch.tensor([limits]), torch.tensor([0.9]).double(), 1.0, 1.0).item() == int(np.argmax(limits))


def test_bos_is_added_only_if_the_tokenizer_does(word_tokenizer):
    assert encode_prompt(word_tokenizer, "w1 w2") == [1, 5, 6]
    assert encode_prompt(word_tokenizer, "<s> w1") == [1, 5]
    bare = type(word_tokenizer)(
        tokenizer_object=_without_template(word_tokenizer), bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )
    assert encode_prompt(bare, "w1 w2") == [5, 6]
    assert encode_prompt(bare, "") == []


def _without_template(tokenizer):
    from tokenizers import Tokenizer, processors

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.post_processor = processors.Sequence([])
    return copy


def test_a_conversation_goes_through_the_chat_template(generator, word_tokenizer, monkeypatch):
    monkeypatch.setattr(
        word_tokenizer, "chat_template", "{% for m in messages %}w1 {{ m.content }} {% endfor %}w2", raising=False
    )
    (conversation,) = generator.generate({"c": [{"role": "user", "content": "w5"}]}, Decoding(6))
    (plain,) = generator.generate({"c": "w1 w5 w2"}, Decoding(6))
    assert conversation == replace(plain, prompt="w5")


def test_a_conversation_that_the_template_refuses_is_an_error_and_the_others_go_on(
    generator, word_tokenizer, monkeypatch
):
    strict = "{% if messages[0].role != 'user' %}{{ raise_exception('begin with the user') }}{% endif %}w1 {{ messages[0].content }} w2"
    monkeypatch.setattr(word_tokenizer, "chat_template", strict, raising=False)
    odd = [{"role": "assistant", "content": "w5"}, {"role": "user", "content": "w6"}]
    good = [{"role": "user", "content": "w5"}]
    asked = {"odd": odd, "broken": [{}], "empty": [], "good": good}
    refused, broken, empty, answered = generator.generate(asked, Decoding(4))
    assert (refused.status, refused.prompt, refused.response) == (Status.ERROR, "w5\n\nw6", "")
    assert broken.status is empty.status is Status.ERROR
    assert answered == generator.generate({"good": good}, Decoding(4))[0] and answered.status is not Status.ERROR


def test_prompts_beyond_ascii_blank_and_of_100_000_characters_keep_their_rows(generator):
    """A blank prompt is asked as far as its tokenizer sees anything in it: here the BOS."""
    prompts = {
        "far": "日本語 🙂 e\u0301",
        "blank": " \n\t\u3000",
        "long": "w1 " * 34_000,
        "nul": "\x00",
        "plain": "w1 w2",
    }
    rows = dict(zip(prompts, generator.generate(prompts, Decoding(4)), strict=True))
    assert rows["long"].status is Status.ERROR and rows["long"].prompt == prompts["long"]
    assert all(rows[key].status is not Status.ERROR for key in ("far", "blank", "nul", "plain"))
    assert rows["plain"] == generator.generate({"plain": "w1 w2"}, Decoding(4))[0]


def test_streams_of_different_prompts_differ():
    streams = [uniforms(Decoding(4), f"p{i}", trial) for i in range(50) for trial in range(3)]
    assert len({stream[0] for stream in streams}) == 150


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens must be at least 1"),
        ({"max_new_tokens": 4, "samples": 0}, "samples must be at least 1"),
        ({"max_new_tokens": 4, "temperature": -1.0}, "temperature must not be negative"),
        ({"max_new_tokens": 4, "top_p": 0.0}, "top_p must be in"),
    ],
)
def test_bad_decoding(settings_, message):
    with pytest.raises(ValueError, match=message):
        Decoding(**settings_)


def test_vllm_missing_is_one_line():
    import importlib.util

    if importlib.util.find_spec("vllm"):
        pytest.skip("vLLM is installed here")
    with pytest.raises(ValueError, match=r"pip install 'prefrontier\[vllm\]'"):
        VLLMGenerator.load("anything")
