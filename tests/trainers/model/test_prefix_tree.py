"""Prefix trees of responses: the log-probability of each response equals that of the response alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.config import ModelConfig
from trainers.model import prefix_tree
from trainers.model.loading import make
from trainers.model.prefix_tree import PrefixTrees, build

END = 0


def alone(model, prompt, response) -> float:
    ids = torch.tensor([[*prompt, *response]])
    with torch.no_grad():
        table = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
    return table[len(prompt) - 1 :].double().sum().item()


def grown(rng: random.Random, slots: int, choices: int) -> list[list[int]]:
    """Responses from slots with a few choices of a few tokens each: a bushy tree."""
    options = [[[rng.randrange(1, 9) for _ in range(rng.randint(0, 3))] for _ in range(choices)] for _ in range(slots)]
    rows: list[list[int]] = [[]]
    for slot in options:
        rows = [row + choice for row in rows for choice in slot]
    return [[*row, END] for row in rows]


@pytest.mark.parametrize("architecture", ["llama", "gpt_neox", "gpt2", "qwen2"])
@pytest.mark.parametrize("held", [1, 1 << 15], ids=["a prompt at a time", "all at once"])
def test_equals_every_response_alone(architecture, held, tokenizer, monkeypatch):
    monkeypatch.setattr(prefix_tree, "CACHE_TOKENS", held)
    model = make(
        ModelConfig(architecture, layers=2, hidden=32, heads=4, intermediate=48, context=64), tokenizer, seed=0
    )
    rng = random.Random(1)
    prompts = [[rng.randrange(1, 9) for _ in range(n)] for n in (1, 7, 3, 5)]
    responses = [grown(rng, 3, 3), [], grown(rng, 2, 4), [[END]]]
    with torch.no_grad():
        scores = PrefixTrees.of(prompts, responses).score(model.eval(), "cpu")
    expected = [alone(model, p, r) for p, own in zip(prompts, responses, strict=True) for r in own]
    np.testing.assert_allclose(scores, expected, atol=2e-5)
    assert len(expected) == 27 + 16 + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.lists(st.integers(1, 3), max_size=5), max_size=6), min_size=1, max_size=3))
def test_a_tree_holds_every_response_once_and_every_prefix_once(texts):
    responses = [[[*row, END] for row in own] for own in texts]
    depths = build([[9]] * len(responses), responses)
    spelled: dict[int, list[int]] = {}
    paths: list[list[list[int]]] = []
    for depth in depths:
        paths.append([])
        for run in depth:
            path = (paths[-2][run.parent] if len(paths) > 1 else []) + list(run.tokens[run.prompt :])
            paths[-1].append(path)
            spelled |= dict.fromkeys(run.responses, path)
    assert [spelled[i] for i in sorted(spelled)] == [row for own in responses for row in own]
    distinct = sum(len({tuple(row[: i + 1]) for row in own for i in range(len(row))}) for own in responses)
    assert sum(len(run.tokens) - run.prompt for depth in depths for run in depth) == distinct


def test_no_prompts_and_no_responses():
    assert build([], []) == [] and build([[1]], [[]]) == []
    assert PrefixTrees.of([], []).score(torch.nn.Identity(), "cpu").shape == (0,)
