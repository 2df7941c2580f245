"""The gradient of an optimizer batch: independent of split, order and layout."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trainers.toy import DPO, KTO, MODEL, Coupled, ValueOnly, make_pairs
from trainers.config import TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.methods import create
from trainers.model.loading import layout_for, make
from trainers.model.response_logprobs import score_tokens
from trainers.objective.gradient import MethodInputs, Objective
from trainers.objective.reference import mismatched
from trainers.objective.value_head import ValueHead

CONFIG = TrainConfig(learning_rate=1e-3)


@pytest.fixture(scope="module")
def encoded(tokenizer):
    return encode_pairs(make_pairs(14), tokenizer, Limits(64))


def run(method, encoded, tokenizer, *, budget=100_000, shared=True, attention="mask", batch=None):
    """Losses, the gradient of the policy and that of the value head."""
    policy = make(MODEL, tokenizer, seed=1).eval()
    layout = replace(layout_for(policy, 64, budget), shared=shared, attention=attention)
    if attention == "by_example":  # as for a wide model, for which it would pay
        layout = replace(layout, hidden=4096)
    others = mismatched(encoded, 64)
    reference, tokens = score_tokens(policy, encoded, layout, CONFIG)
    with torch.no_grad():  # away from the reference, where losses depend on everything they can depend on
        for number, parameter in enumerate(policy.parameters()):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number)))
    desirable = torch.tensor([[True, False]]).expand(len(encoded), 2)
    method_inputs = MethodInputs(
        desirable,
        torch.from_numpy(reference)[None],
        torch.linspace(0, 1, 2 * len(encoded)).view(-1, 2),
        others if method.needs.mismatched else None,
        torch.linspace(-40, -30, len(encoded)),
        token_reference=torch.from_numpy(tokens),
    )
    head = ValueHead(MODEL.hidden, seed=0) if method.needs.values else None
    task_head = None
    if method.needs.task:
        made, labels = method.needs.task.responses(make_pairs(14))
        task = encode_pairs(made, tokenizer, Limits(64))
        method_inputs = replace(method_inputs, task=task, task_labels=torch.from_numpy(labels))
        task_head = method.needs.task.head(MODEL.hidden, seed=0)
    objective = Objective(method, policy, head, encoded, method_inputs, layout, CONFIG, task_head)
    step = objective.backward(np.arange(len(encoded)) if batch is None else batch, step=3)
    flat = [
        torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in part.parameters()])
        for part in (policy, head, task_head)
        if part is not None
    ]
    return step, flat


@pytest.mark.parametrize(
    "method",
    [
        DPO(),
        KTO(),
        Coupled(),
        ValueOnly(),
        create("aoppo", value_coefficient=1.0),
        create("upo", value="response_mean", aux_warmup=0),
        create("bco"),
        create("aot"),
        create("aot_unpaired"),
        create("wpo"),
        create("spo", gamma=1.0),
        create("spo", gamma=1.0, base="kto", pooling="mean"),
    ],
    ids=lambda m: type(m).__name__,
)
@pytest.mark.parametrize(
    "change",
    [
        {"budget": 1},
        {"budget": 90},
        {"budget": 200},
        {"shared": False},
        {"shared": False, "budget": 100},
        {"attention": "by_example"},
        {"attention": "by_example", "budget": 120},
    ],
    ids=str,
)
def test_splitting_and_layout_change_neither_losses_nor_gradients(method, change, encoded, tokenizer):
    whole, gradients = run(method, encoded, tokenizer)
    split, others = run(method, encoded, tokenizer, **change)
    torch.testing.assert_close(split.losses, whole.losses, atol=1e-5, rtol=1e-5)
    assert max(float(g.norm()) for g in gradients) > 1e-3
    for ours, theirs in zip(others, gradients, strict=True):
        torch.testing.assert_close(ours, theirs, atol=2e-6, rtol=1e-4)


@pytest.mark.parametrize("method", [DPO(), KTO()], ids=lambda m: type(m).__name__)
def test_the_order_of_a_batch_changes_no_gradient(method, encoded, tokenizer):
    order = np.random.default_rng(0).permutation(len(encoded))
    whole, (gradient,) = run(method, encoded, tokenizer)
    turned, (other,) = run(method, encoded, tokenizer, batch=order)
    torch.testing.assert_close(turned.losses, whole.losses[order], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(other, gradient, atol=2e-6, rtol=1e-4)


def test_a_batch_is_the_mean_of_its_examples(encoded, tokenizer):
    _, (whole,) = run(DPO(), encoded, tokenizer)
    singles = [run(DPO(), encoded, tokenizer, batch=np.array([i]))[1][0] for i in range(len(encoded))]
    torch.testing.assert_close(torch.stack(singles).mean(0), whole, atol=2e-6, rtol=1e-4)


def test_coupling_differs_from_not_coupling(encoded, tokenizer):
    """The test above could not fail if micro-batches happened to give the coupled gradient by themselves."""

    class Uncoupled(Coupled):
        needs = Coupled.needs.__class__(references=1, rewards=True, values=True)

    whole, (gradient, _) = run(Coupled(), encoded, tokenizer)
    _, (wrong, _) = run(Uncoupled(), encoded, tokenizer, budget=90)
    assert (gradient - wrong).norm() > 0.01 * gradient.norm()


def test_the_value_loss_never_reaches_the_policy(encoded, tokenizer):
    for budget in (100_000, 90):
        _, (policy, head) = run(ValueOnly(), encoded, tokenizer, budget=budget)
        assert policy.abs().max() == 0
        assert head.norm() > 0


def test_the_degree_task_reaches_the_policy(encoded, tokenizer):
    """Unlike the value loss: with γ the policy's gradient changes, and the head has one either way but for γ = 0."""
    _, (without, idle) = run(create("spo", gamma=0.0), encoded, tokenizer)
    _, (with_task, head) = run(create("spo", gamma=1.0), encoded, tokenizer)
    assert (with_task - without).norm() > 0.01 * without.norm()
    assert head.norm() > 0 and idle.abs().max() == 0
    _, (plain,) = run(create("dpo"), encoded, tokenizer)
    torch.testing.assert_close(without, plain, atol=1e-7, rtol=1e-6)


def test_value_dropout_changes_gradients_and_not_values():
    head = ValueHead(8, seed=0)
    hidden = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    values = head(hidden, head.keep(50, seed=0, step=0))
    assert torch.equal(values, head(hidden, None))
    gradients = []
    for keep in (None, head.keep(50, 0, 0), head.keep(50, 0, 0), head.keep(50, 0, 1)):
        head.zero_grad()
        head(hidden, keep).sum().backward()
        gradients.append(head.last.weight.grad.clone())
    assert torch.equal(gradients[1], gradients[2])
    assert not torch.equal(gradients[0], gradients[1])
    assert not torch.equal(gradients[1], gradients[3])
    share = (head.keep(4000, 0, 0) == 0).float().mean().item()
    assert share == pytest.approx(0.1, abs=4 * (0.1 * 0.9 / (4000 * 16)) ** 0.5)


def test_mismatched_responses_never_answer_their_own_prompt(encoded):
    others = mismatched(encoded, 64)
    starts = encoded.responses[..., 0]
    owner = {int(start): example for example, row in enumerate(starts) for start in row}
    partners = [owner[int(start)] for start in others.responses[:, 0, 0]]
    prompts = [encoded.tokens[s : s + n].tolist() for s, n in encoded.prompts]
    assert all(prompts[i] != prompts[j] for i, j in enumerate(partners))
    sides = [list(starts[j]).index(start) for j, start in zip(partners, others.responses[:, 0, 0], strict=True)]
    assert abs(sum(sides) - len(sides) / 2) <= 1


@pytest.mark.parametrize("n_prompts", [2, 3])
def test_mismatched_responses_with_repeated_prompts(tokenizer, n_prompts):
    pairs = [replace(pair, prompt=f"w{i % n_prompts}") for i, pair in enumerate(make_pairs(20))]
    encoded = encode_pairs(pairs, tokenizer, Limits(64))
    others = mismatched(encoded, 6)
    owner = {int(start): i for i, row in enumerate(encoded.responses[..., 0]) for start in row}
    partners = [owner[int(start)] for start in others.responses[:, 0, 0]]
    assert all(i % n_prompts != j % n_prompts for i, j in enumerate(partners))
    assert (encoded.prompts[:, 1] + others.lengths[:, 0]).max() <= 6
    same = [replace(pair, prompt="w0") for pair in pairs]
    with pytest.raises(ValueError, match="at least two different prompts"):
        mismatched(encode_pairs(same, tokenizer, Limits(64)), 64)
