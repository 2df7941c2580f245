"""Tables from next-token distributions: the same as those of whole responses, for any policy over the trie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from suites.oracle.trie import Trie, trie_logits, trie_states

EOS = 2


def responses(seed: int, count: int = 30) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    distinct = {tuple(rng.integers(4, 8, size=rng.integers(1, 7))) for _ in range(count)}
    return [[*map(int, row), EOS] for row in sorted(distinct)]


def test_responses_of_a_world_have_the_trie_that_the_grammar_makes(world):
    words = {word: i for i, word in enumerate(world.vocabulary(), 1)}
    trie = Trie.of([[*(words[word] for word in text.split()), 0] for text in world.responses(0)])
    children = np.bincount(trie.parents[1:], minlength=len(trie.tokens))
    assert len(trie.leaves) == trie.is_leaf.sum() == 256
    assert (children > 1).sum() == 77 and (~trie.is_leaf).sum() == 1505


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_a_table_sums_the_steps_of_each_response(seed):
    rows = responses(seed)
    trie = Trie.of(rows)
    logps = np.log(np.random.default_rng(seed).dirichlet(np.ones(9), len(trie.tokens)))
    prefixes = {(): 0}
    for node in range(1, len(trie.tokens)):
        parent = next(p for p, n in prefixes.items() if n == trie.parents[node])
        prefixes[(*parent, int(trie.tokens[node]))] = node
    expected = [sum(logps[prefixes[tuple(row[:i])], row[i]] for i in range(len(row))) for row in rows]
    np.testing.assert_allclose(trie.table(logps), expected, rtol=1e-12)
    assert np.exp(trie.table(logps)).sum() <= 1 + 1e-12


def test_ambiguous_responses_are_refused():
    for rows in ([[1, 0], [1, 0]], [[1], [1, 0]]):
        with pytest.raises(ValueError, match="distinct"):
            Trie.of(rows)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_soft_values_are_conditional_expectations(seed):
    rows = responses(seed)
    trie = Trie.of(rows)
    rng = np.random.default_rng(seed)
    logps, exponent = np.log(rng.dirichlet(np.ones(9), len(trie.tokens))), rng.normal(size=len(rows))
    values, table = trie.soft_values(logps, exponent), np.exp(trie.table(logps))
    assert values[0] == pytest.approx(np.log((table * np.exp(exponent)).sum()), abs=1e-9)
    np.testing.assert_array_equal(values[trie.leaves], exponent)
    for node in rng.choice(len(trie.tokens), 5):
        below = trie.ancestors[trie.leaves][:, node]
        reached, step = 0.0, node
        while step:
            reached += logps[trie.parents[step], trie.tokens[step]]
            step = trie.parents[step]
        expected = np.log((table[below] / np.exp(reached) * np.exp(exponent[below])).sum())
        assert values[node] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("prompt", [[1, 9, 10], [1]])
def test_logits_behind_every_prefix_are_those_of_the_texts_one_by_one(tiny_llama, prompt):
    rows = responses(0)
    trie = Trie.of(rows)
    logits = trie_logits(tiny_llama, prompt, trie)
    table = trie.table(torch.log_softmax(logits.double(), -1).numpy())
    with torch.inference_mode():
        for row, measured in zip(rows, table, strict=True):
            alone = torch.log_softmax(tiny_llama(torch.tensor([[*prompt, *row]])).logits[0].double(), -1)
            steps = alone[range(len(prompt) - 1, len(prompt) + len(row) - 1), row]
            assert measured == pytest.approx(float(steps.sum()), abs=1e-4)


def test_embeddings_of_words_in_front_are_those_words_typed(tiny_llama):
    trie = Trie.of(responses(0))
    z = tiny_llama.get_input_embeddings()(torch.tensor([1, 9])).detach()
    typed = trie_logits(tiny_llama, [1, 9, 10], trie)
    torch.testing.assert_close(trie_logits(tiny_llama, [10], trie, z), typed, rtol=0, atol=1e-5)
    assert torch.equal(trie_logits(tiny_llama, [1, 9, 10], trie, z[:0]), typed)


def test_states_at_the_ends_are_those_of_the_texts_one_by_one(tiny_llama):
    rows = responses(0)
    states = trie_states(tiny_llama, [1, 9], Trie.of(rows))
    with torch.inference_mode():
        for row, state in zip(rows, states, strict=True):
            alone = tiny_llama.base_model(torch.tensor([[1, 9, *row[:-1]]])).last_hidden_state[0, -1]
            torch.testing.assert_close(state, alone, rtol=0, atol=1e-5)


def test_a_prompt_that_leaves_no_room_is_an_error(tiny_llama):
    with pytest.raises(ValueError, match="exceed 48"):
        trie_logits(tiny_llama, [1] * 45, Trie.of(responses(0)))
