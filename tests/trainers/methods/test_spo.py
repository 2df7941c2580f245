"""SPO: equality with its base at γ = 0, the degree task by hand, and the data of the task."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from trainers.data.keyword_removal import IGNORED, ablate, ablated_pairs, keywords
from trainers.data.records import Pair
from trainers.methods import create
from trainers.methods.interface import MethodBatch


@pytest.mark.parametrize("base", ["dpo", "simpo", "kto", "modpo"])
def test_gamma_zero_is_the_base_bit_for_bit(base, make_batch, gradient):
    spo, plain = create("spo", gamma=0.0, base=base), create(base)
    batch = make_batch(spo)
    assert torch.equal(spo.loss(batch).per_example, plain.loss(batch).per_example)
    assert torch.equal(gradient(spo, batch), gradient(plain, batch))


def test_golden():
    """DPO at Δ = 2, β = 0.1: 0.598139. Two classes: logits (0, 2) and degree 1: log(1 + e^−2) = 0.126928; the second
    response is left out. Its half: 0.598139 + 0.5·0.126928/2 = 0.629871."""
    batch = MethodBatch(
        logps=torch.tensor([[-3.0, -5.0]]), lengths=torch.ones(1, 2), desirable=torch.tensor([[True, False]]),
        reference=torch.tensor([[-4.0, -4.0]]), task_outputs=torch.tensor([[[0.0, 2.0], [7.0, 1.0]]]),
        task_labels=torch.tensor([[1, IGNORED]]),
    )  # fmt: skip
    loss = create("spo", gamma=0.5, bins=2).loss(batch)
    assert loss.per_example.item() == pytest.approx(0.629871, abs=1e-6)
    assert loss.metrics["degree_accuracy"].item() == 1.0


def test_a_batch_that_the_task_leaves_out_has_its_base_loss(make_batch):
    spo = create("spo")
    batch = make_batch(spo, task_labels=torch.full((6, 2), IGNORED))
    assert torch.equal(spo.loss(batch).per_example, create("dpo").loss(batch).per_example)
    assert spo.loss(batch).metrics["degree_accuracy"].item() == 0


def test_the_tasks_gradient_is_softmax_less_label(make_batch):
    spo = create("spo", gamma=0.3)
    batch = make_batch(spo)
    logits = batch.task_outputs.requires_grad_()
    (slope,) = torch.autograd.grad(spo.loss(batch).per_example.sum(), logits)
    expected = 0.3 / 2 * (logits.softmax(-1) - torch.nn.functional.one_hot(batch.task_labels, 4))
    torch.testing.assert_close(slope, expected.detach())


def test_keywords_are_ranked_by_degree_over_frequency():
    """Phrases: (red fox), (fox), (big old red barn). fox 3/2, red 6/2, big, old, barn 4."""
    assert keywords("The red fox and the fox in the big old red barn.") == ["big", "old", "barn", "red", "fox"]
    assert keywords("It was about them, and so on.") == []


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_ablation_removes_that_share_of_keywords_everywhere(share):
    text = " The red fox met the big old red barn, and the fox slept."
    left = ablate(text, share)
    ranked = keywords(text)
    gone = set(ranked[: round(share * len(ranked))])
    words = lambda t: Counter(w.strip(".,").lower() for w in t.split() if w.strip(".,"))  # noqa: E731
    assert words(left) == Counter({w: n for w, n in words(text).items() if w not in gone})
    assert left.startswith(" ") and not left.startswith("  ")


def test_degrees_are_even_and_the_same_each_time():
    pairs = [Pair(str(i), "Hi", f" red fox {i}", f" the big barn {i}") for i in range(400)]
    made, degrees = ablated_pairs(pairs, 4)
    again, same = ablated_pairs(pairs, 4)
    assert made == again and np.array_equal(degrees, same)
    whole = [d for d in degrees.ravel().tolist() if d != IGNORED]
    assert min(Counter(whole).values()) > 100
    assert all(m.chosen == p.chosen for m, p, d in zip(made, pairs, degrees[:, 0], strict=True) if d == 0)
    assert all(m.chosen == p.chosen for m, p, d in zip(made, pairs, degrees[:, 0], strict=True) if d == IGNORED)


def test_messages_are_ablated_within():
    turns = [{"role": "assistant", "content": "The red fox slept."}]
    pairs = [Pair(str(i), [{"role": "user", "content": "Hi"}], turns, turns) for i in range(20)]
    made, degrees = ablated_pairs(pairs, 2)
    for pair, degree in zip(made, degrees[:, 0], strict=True):
        content = pair.chosen[0]["content"]
        assert pair.chosen[0]["role"] == "assistant" and ("fox" in content) == (degree != 1)
