"""Boundary, beginning, end and truncation, on word, byte-pair and hostile tokenizers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2TokenizerFast, PreTrainedTokenizerFast

from tests.trainers.toy import make_pairs
from trainers.data.encoding import Limits, encode, encode_corpus, encode_examples, encode_pairs
from trainers.data.records import DataError, Document, Example, Pair

WIDE = Limits(1024)


def segments(encoded, k=0):
    """(prompt ids, response ids) of every example."""
    for prompt, response in zip(encoded.prompts, encoded.responses[:, k], strict=True):
        yield tuple(encoded.tokens[start : start + size].tolist() for start, size in (prompt, response))


@pytest.fixture(scope="module")
def gpt2(shared_data):
    folder = shared_data / "tokenizers" / "gpt2"
    return GPT2TokenizerFast(vocab=str(folder / "vocab.json"), merges=str(folder / "merges.txt"))


@pytest.fixture(scope="module")
def torchtune_bpe(shared_data):
    file = shared_data / "tokenizers" / "torchtune_tiny_bpe" / "tiny_bpe_tokenizer.json"
    return PreTrainedTokenizerFast(tokenizer_file=str(file), eos_token="<eos>")


@pytest.fixture(scope="module")
def hostile():
    """A tokenizer that merges across any boundary: whole strings it knows are one token."""
    vocabulary = {"<eos>": 0, **{c: i for i, c in enumerate("abcd ", start=1)}, "ab": 6, "abc": 7}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("a", "b"), ("ab", "c")]))
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")


TEXTS = [
    ("\n\nHuman: Hi\n\nAssistant:", " Hello, it's 5 o'clock"),
    ("A question?\n", "Émile: “naïve” 你好 🙂"),
    ("a", " b\n\n"),
    ("tabs\there\n", "  two spaces  "),
]


@pytest.mark.parametrize("name", ["gpt2", "tiny_bpe"])
@pytest.mark.parametrize(("prompt", "response"), TEXTS)
def test_decoding_the_response_tokens_gives_the_response(request, name, prompt, response):
    tokenizer = request.getfixturevalue(name)
    encoded = encode(["x"], [prompt], [[response]], ("response",), tokenizer, WIDE)
    ((prompt_ids, response_ids),) = segments(encoded)
    assert tokenizer.decode(response_ids[:-1]) == response
    assert response_ids[-1] == tokenizer.eos_token_id
    assert prompt_ids == tokenizer(prompt).input_ids


def test_a_bpe_tokenizer_without_byte_fallback(torchtune_bpe):
    """Its vocabulary has no special tokens; the end is whatever id the tokenizer gives it."""
    encoded = encode(["x"], ["Hello"], [[" world, how are you"]], ("response",), torchtune_bpe, WIDE)
    ((prompt_ids, response_ids),) = segments(encoded)
    assert torchtune_bpe.decode(prompt_ids + response_ids[:-1]) == torchtune_bpe.decode(
        torchtune_bpe("Hello world, how are you", add_special_tokens=False).input_ids
    )


@settings(max_examples=60, deadline=None)
@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_any_text_either_keeps_its_boundary_or_is_named(tiny_bpe, prompt, response):
    try:
        encoded = encode(["x"], [prompt], [[response]], ("response",), tiny_bpe, WIDE)
    except DataError as fault:
        assert "not a prefix" in fault.why
        return
    ((prompt_ids, response_ids),) = segments(encoded)
    both = tiny_bpe(prompt + response, split_special_tokens=True).input_ids  # control tokens in data are text
    assert prompt_ids + response_ids == [*both, tiny_bpe.eos_token_id]


def test_a_merge_across_the_boundary_is_an_error_that_names_the_example(hostile):
    pairs = [Pair("fine", "d", "ab", "c"), Pair("merging", "a", "d", "bc")]
    with pytest.raises(DataError, match=r"example merging: .* merges with the prompt into \['abc'\]"):
        encode_pairs(pairs, hostile, WIDE)
    kept = encode_pairs(pairs, hostile, Limits(1024, on_boundary="drop"))
    assert kept.ids == ["fine"]
    assert kept.kept.tolist() == [0]
    assert kept.counts["boundary_drop"] == 1
    split = encode_pairs(pairs, hostile, Limits(1024, on_boundary="split"))
    assert [ids for _, ids in segments(split, 1)] == [[3, 0], [2, 3, 0]]


def test_one_beginning_and_one_end(tokenizer):
    ends = tokenizer.eos_token
    encoded = encode(["x"], ["<bos>w1"], [[f" w2{ends}"]], ("response",), tokenizer, WIDE)
    ((prompt_ids, response_ids),) = segments(encoded)
    assert prompt_ids.count(tokenizer.bos_token_id) == 1
    assert response_ids.count(tokenizer.eos_token_id) == 1


def test_a_chat_template_brings_its_own_special_tokens(tokenizer):
    import copy

    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = (
        "{{ bos_token }}{% for m in messages %} w{{ '1' if m.role == 'user' else '2' }} {{ m.content }}"
        "{% if m.role == 'assistant' %}{{ eos_token }}\n{% endif %}{% endfor %}"
        "{% if add_generation_prompt %} w2{% endif %}"
    )
    prompt, response = [{"role": "user", "content": "w3"}], [{"role": "assistant", "content": "w4"}]
    encoded = encode(["x"], [prompt], [[response]], ("response",), chatty, WIDE)
    ((prompt_ids, response_ids),) = segments(encoded)
    assert chatty.decode(prompt_ids) == "<bos> w1 w3 w2"
    assert chatty.decode(response_ids) == " w4<eos>"
    chatty.chat_template = "{{ messages | length }}{% for m in messages %} {{ m.content }}{% endfor %}"
    with pytest.raises(DataError, match="example x: the chat template changes the prompt"):
        encode(["x"], [prompt], [[response]], ("response",), chatty, WIDE)


def test_truncation_keeps_the_prompts_end_and_flags_cut_responses(tokenizer):
    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    pairs = [Pair("x", "w1 w2 w3 w4", " w5", " w6 w7 w8")]
    encoded = encode_pairs(pairs, tokenizer, Limits(6, max_prompt_tokens=3))
    (prompt_ids, chosen), (_, rejected) = next(segments(encoded)), next(segments(encoded, 1))
    assert (prompt_ids[0], tokenizer.decode(prompt_ids[1:])) == (bos, " w3 w4")
    assert chosen[-1] == eos
    assert tokenizer.decode(rejected) == " w6 w7 w8"
    assert encoded.complete.tolist() == [[True, False]]
    assert encoded.counts == {"prompts_truncated": 1, "responses_truncated": 1}


def test_a_prompt_that_fills_the_context_is_an_error(tokenizer):
    with pytest.raises(DataError, match="example x: prompt longer than the context: 5 tokens of 5"):
        encode_examples([Example("x", "w1 w2 w3 w4", " w5", True)], tokenizer, Limits(5))


def test_a_text_without_prompt_is_split_into_contexts(tokenizer):
    documents = [Document("a", "w1", " w2"), Document("b", "", "w1 w2 w3 w4 w5 w6 w7")]
    encoded = encode_corpus(documents, tokenizer, Limits(4))
    whole = [*tokenizer("w1 w2 w3 w4 w5 w6 w7").input_ids, tokenizer.eos_token_id]
    pieces = list(segments(encoded))[1:]
    assert encoded.ids == ["a", "b", "b#1", "b#2"]
    assert pieces[0][0] == whole[:1]
    assert [token for _, response in pieces for token in response] == whole[1:]
    assert all(before[1][-1:] == after[0] for before, after in zip(pieces, pieces[1:], strict=False))
    assert encoded.complete[:, 0].tolist() == [True, False, False, True]


def test_fingerprints_change_with_every_byte(tokenizer, tiny_bpe):
    pairs = make_pairs(5)
    prints = encode_pairs(pairs, tokenizer, WIDE).fingerprints()
    assert prints == encode_pairs(pairs, tokenizer, WIDE).fingerprints()
    changed = [*pairs[:-1], Pair(pairs[-1].id, pairs[-1].prompt, pairs[-1].chosen, pairs[-1].rejected + " w0")]
    renamed = [Pair("other", p.prompt, p.chosen, p.rejected) if i == 0 else p for i, p in enumerate(pairs)]
    other = encode_pairs(changed, tokenizer, WIDE).fingerprints()
    assert other["chosen"] == prints["chosen"]
    assert other["rejected"] != prints["rejected"]
    for variant in (
        encode_pairs(renamed, tokenizer, WIDE),
        encode_pairs(pairs, tiny_bpe, WIDE),
        encode_pairs(pairs, tokenizer, Limits(1024, max_prompt_tokens=2)),
    ):
        assert variant.fingerprints()["chosen"] != prints["chosen"]


def test_examples_keep_their_place(tokenizer):
    encoded = encode_pairs(make_pairs(5), tokenizer, WIDE)
    some = encoded.take(np.array([3, 1]))
    assert some.ids == ["p3", "p1"]
    assert list(segments(some)) == [list(segments(encoded))[i] for i in (3, 1)]


def test_word_tokenizer_round_trip(tokenizer):
    text = "w1 w2  w3"
    ids = tokenizer(" w1 w2 w3", add_special_tokens=False).input_ids
    assert tokenizer.decode(ids) == " w1 w2 w3"
    assert tokenizer.unk_token_id in tokenizer(text).input_ids  # two spaces are not among its words


def test_bpe_needs_room_for_all_bytes(tmp_path):
    from trainers.data.tokenizer import bpe_tokenizer

    with pytest.raises(ValueError, match=f"at least {len(pre_tokenizers.ByteLevel.alphabet()) + 4} tokens, not 100"):
        bpe_tokenizer(["a"], 100, tmp_path)
