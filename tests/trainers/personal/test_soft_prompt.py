"""Soft prompts: equalities with the base, with typed words and with fits of single users."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import DataError, Pair
from trainers.data.tokenizer import load_tokenizer
from trainers.model.causal_lm import causal_lm
from trainers.model.loading import load, weights_hash
from trainers.model.logprobs import score
from trainers.model.packing import Layout
from trainers.model.rows import lay_out
from trainers.personal.soft_prompt import PromptFit, PromptPairs, chosen_loss, dpo_loss, fit_centre, fit_users

FIT = PromptFit(tokens=2, steps=6, batch=8)


@pytest.fixture(scope="module")
def model(base):
    return load(base)


@pytest.fixture(scope="module")
def some(model, base, pairs):
    """Four pairs of user 0 and two of user 1, whose wishes are the opposite."""
    swapped = [replace(pair, chosen=pair.rejected, rejected=pair.chosen) for pair in pairs[4:6]]
    encoded = encode_pairs([*pairs[:4], *swapped], load_tokenizer(base), Limits(64))
    return PromptPairs(model, encoded, np.array([0, 0, 0, 0, 1, 1]))


def test_a_prompt_of_no_rows_is_the_base_bit_for_bit(some):
    rows = lay_out(some.encoded, [[number] for number in range(6)], Layout(False, 16, 0))
    expected = score(some.model, rows).logps.view(-1, 2)
    torch.testing.assert_close(some.logps(torch.zeros(2, 0, 16), np.arange(6)), expected, rtol=0, atol=0)
    assert fit_centre(some, dpo_loss(0.5), replace(FIT, tokens=0)).shape == (0, 16)
    assert fit_users(some, torch.zeros(0, 16), 2, dpo_loss(0.5), replace(FIT, tokens=0)).shape == (2, 0, 16)


def test_embeddings_of_words_are_those_words_typed(model, base, pairs):
    encoded = encode_pairs(pairs[:4], load_tokenizer(base), Limits(64))
    encoded = encoded.take(np.flatnonzero(encoded.prompts[:, 1] > 3))
    n = len(encoded)
    assert n > 1
    expected = score(model, lay_out(encoded, [[number] for number in range(n)], Layout(False, 16, 0))).logps.view(-1, 2)
    begins = encoded.tokens[encoded.prompts[:, :1] + np.arange(3)].astype(np.int64)
    z = causal_lm(model).get_input_embeddings()(torch.from_numpy(begins)).detach()
    behind = PromptPairs(model, replace(encoded, prompts=encoded.prompts + [3, -3]), np.arange(n))
    torch.testing.assert_close(behind.logps(z, np.arange(n)), expected, rtol=0, atol=1e-5)
    assert (expected - behind.base).abs().max() > 1e-3


@pytest.mark.parametrize("loss", [dpo_loss(0.5), chosen_loss])
def test_users_together_are_fitted_as_alone_and_the_model_stays_as_it_is(some, loss):
    before = weights_hash(some.model)
    centre = fit_centre(some, loss, FIT)
    together = fit_users(some, centre, 3, loss, FIT)
    for user, members in enumerate((np.arange(4), np.arange(4, 6))):
        alone = PromptPairs(some.model, some.encoded.take(members), np.zeros(len(members), np.int64))
        torch.testing.assert_close(fit_users(alone, centre, 1, loss, FIT)[0], together[user], rtol=0, atol=2e-4)
    torch.testing.assert_close(together[2], centre, rtol=0, atol=0)  # no pairs
    assert (together[0] - together[1]).abs().max() > 0.05
    assert weights_hash(some.model) == before


def test_a_fit_lowers_the_user_s_loss(some):
    loss = dpo_loss(0.5)
    centre = fit_centre(some, loss, FIT)
    fitted = fit_users(some, centre, 2, loss, replace(FIT, steps=20))
    everything = np.arange(6)
    start, end = (loss(some.logps(z, everything), some.base).detach() for z in (centre.expand(2, -1, -1), fitted))
    assert end[:4].mean() < start[:4].mean() and end[4:].mean() < start[4:].mean()


def test_a_prompt_that_does_not_fit_the_context_is_one_line(model, base):
    pair = Pair("long", "w1 " * 29 + "w1", " w2", " w3")
    encoded = encode_pairs([pair], load_tokenizer(base), Limits(64))
    size = int(encoded.prompts[0, 1] + encoded.lengths.max())
    some = PromptPairs(model, encoded, np.array([0]))
    fit = replace(FIT, tokens=64 - size + 1)
    with pytest.raises(DataError, match=rf"pair long: its {size} tokens and a soft prompt of {65 - size} exceed .* 64"):
        fit_users(some, torch.zeros(fit.tokens, 16), 1, chosen_loss, fit)
