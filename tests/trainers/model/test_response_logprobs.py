"""Log-probabilities of responses, normalised over an enumerable set."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from tests.trainers.toy import WORDS, sentence
from trainers.config import ModelConfig
from trainers.data.records import DataError
from trainers.data.tokenizer import load_tokenizer, word_tokenizer
from trainers.model import prefix_tree
from trainers.model.loading import load, make
from trainers.model.response_logprobs import response_logps


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A model with two words, so that all its short responses can be listed."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = word_tokenizer(["a", " a", " b"], folder)
    model = make(ModelConfig(layers=1, hidden=8, heads=2, intermediate=16, context=8), tokenizer, seed=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(20)
        # Nothing but the two words and the end can follow.
        never = [
            i for i in range(len(tokenizer)) if i not in (*tokenizer(" a b").input_ids[1:], tokenizer.eos_token_id)
        ]
        head = torch.nn.Linear(8, len(tokenizer), bias=True)
        head.weight.copy_(model.lm_head.weight)
        head.bias.zero_()[never] = -1e4
        model.lm_head = head
    return model, tokenizer


def test_all_responses_up_to_a_length_and_what_is_left_sum_to_one(tiny, monkeypatch):
    model, tokenizer = tiny
    monkeypatch.setattr("trainers.model.response_logprobs.load", lambda source, device: model.eval())
    monkeypatch.setattr("trainers.model.response_logprobs.load_tokenizer", lambda source: tokenizer)
    longest = 3
    responses = ["".join(words) for n in range(1, longest + 1) for words in itertools.product((" a", " b"), repeat=n)]
    (logps,) = response_logps("tiny", ["a"], [responses])
    ids = [tokenizer("a" + r, return_tensors="pt").input_ids for r in responses if len(r) == 2 * longest]
    with torch.no_grad():
        prompt = tokenizer("a", return_tensors="pt").input_ids
        ends_at_once = model(prompt).logits[0, -1].softmax(-1)[tokenizer.eos_token_id].item()
        goes_on = 0.0
        for row in ids:
            table = model(row).logits[0].log_softmax(-1)
            start = prompt.shape[1]
            path = sum(table[t - 1, row[0, t]] for t in range(start, row.shape[1]))
            goes_on += (path.exp() * (1 - table[-1].exp()[tokenizer.eos_token_id])).item()
    assert np.exp(logps).sum() + ends_at_once + goes_on == pytest.approx(1, abs=1e-5)


def test_any_number_of_responses_in_any_order(base, monkeypatch):
    rng = random.Random(0)
    prompts = [sentence(rng, 1, 12) for _ in range(5)]
    responses = [[" " + sentence(rng, 1, 9) for _ in range(n)] for n in (1, 40, 0, 7, 3)]
    together = response_logps(base, prompts, responses)
    assert [len(row) for row in together] == [1, 40, 0, 7, 3]
    model, tokenizer = load(base), load_tokenizer(base)
    for prompt, row, logps in zip(prompts, responses, together, strict=True):
        for response, logp in zip(row, logps, strict=True):
            ids = torch.tensor([[*tokenizer(prompt + response).input_ids, tokenizer.eos_token_id]])
            begin = len(tokenizer(prompt).input_ids)
            with torch.no_grad():
                table = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
            assert logp == pytest.approx(table[begin - 1 :].sum().item(), abs=2e-5)
    monkeypatch.setattr(prefix_tree, "CACHE_TOKENS", 1)  # a prompt at a time
    np.testing.assert_allclose(
        np.concatenate(response_logps(base, prompts, responses, micro_batch_tokens=1)),
        np.concatenate(together),
        atol=1e-5,
    )


def test_a_response_that_does_not_fit_is_an_error(base):
    with pytest.raises(DataError, match="prompt 0, response 1: response longer than the context"):
        response_logps(base, [WORDS[0]], [[" w1", " w1" * 70]])
    with pytest.raises(ValueError, match="2 prompts but responses for 1"):
        response_logps(base, ["w1", "w2"], [[" w1"]])
