"""GRPO and RLOO: parity with TRL's own loss code on fixed log-probs, and values worked out by hand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from trainers.methods import create
from trainers.methods.grpo import group_advantages
from trainers.methods.interface import MethodBatch, Tokens
from trainers.methods.rloo import leave_one_out

N, G, T = 5, 4, 9


@pytest.fixture(scope="module")
def batch() -> MethodBatch:
    """Five groups of four, on and off the bounds of the clip; the third group's rewards are all equal."""
    g = torch.Generator().manual_seed(5)
    lengths = torch.randint(1, T + 1, (N, G), generator=g)
    mask = torch.arange(T) < lengths[..., None]
    behaviour, reference, logps = (mask * (-1 + shift * torch.randn(N, G, T, generator=g)) for shift in (1, 1, 0))
    logps = (behaviour + 0.3 * mask * torch.randn(N, G, T, generator=g)).requires_grad_()
    rewards = torch.rand(N, G, generator=g)
    rewards[2] = 0.5
    tokens = Tokens(logps, mask, reference, behaviour)
    desirable = torch.zeros(N, G, dtype=torch.bool)
    return MethodBatch(
        (logps * mask).sum(-1), lengths.float(), desirable, reference.sum(-1), rewards=rewards, tokens=tokens
    )


def trl_loss(cls, batch: MethodBatch, advantages: torch.Tensor, **settings):
    """TRL's `_compute_loss` on our tensors, one row for each response."""
    rows = lambda table: table.reshape(N * G, *table.shape[2:])  # noqa: E731
    tokens = batch.tokens
    accelerator = SimpleNamespace(
        gather=lambda x: x, gather_for_metrics=lambda x: x, reduce=lambda x, **_: x, num_processes=1
    )  # fmt: skip
    trainer = SimpleNamespace(
        epsilon_low=0.2, epsilon_high=0.2, aux_loss_enabled=False, accelerator=accelerator,
        model=SimpleNamespace(training=True), _metrics={"train": defaultdict(list)},
        current_gradient_accumulation_steps=1, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", loss_type="grpo", use_vllm=False, _entropy_bonus_enabled=False,
        args=SimpleNamespace(use_bias_correction_kl=False, delta=None),
        _get_per_token_logps_and_entropies=lambda *_, **__: (rows(tokens.logps), torch.zeros(N * G, T), None),
        **settings,
    )  # fmt: skip
    blank = torch.zeros(N * G, T, dtype=torch.long)
    inputs = {
        "prompt_ids": blank, "prompt_mask": blank, "completion_ids": blank, "completion_mask": rows(tokens.mask).float(),
        "advantages": advantages.reshape(-1), "old_per_token_logps": rows(tokens.behaviour),
        "ref_per_token_logps": rows(tokens.reference), "old_logps": rows(tokens.behaviour).sum(-1),
        "num_items_in_batch": tokens.mask.sum(),
    }  # fmt: skip
    return cls._compute_loss(trainer, None, inputs)


def gradient(loss: torch.Tensor, batch: MethodBatch) -> torch.Tensor:
    return torch.autograd.grad(loss, batch.tokens.logps, retain_graph=True)[0]


def trl_advantages(rewards: torch.Tensor) -> torch.Tensor:
    """As its trainer computes them: TRL's own deviation, that of a sample."""
    from trl.trainer.utils import nanstd

    deviation = nanstd(rewards, dim=1)
    return (rewards - rewards.mean(1, keepdim=True)) / (deviation[:, None] + 1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.04, 1.0])
def test_grpo_is_trls(beta, batch):
    trl = pytest.importorskip("trl")
    theirs = trl_loss(trl.GRPOTrainer, batch, trl_advantages(batch.rewards), beta=beta)
    ours = create("grpo", beta=beta, samples=G).loss(batch).per_example.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch), gradient(theirs, batch), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.05, 1.0])
def test_rloo_is_trls(beta, batch):
    """The advantages by the formula that TRL states: the mean of the others, and the first-order divergence."""
    trl = pytest.importorskip("trl")
    behaviour, reference = batch.tokens.behaviour.sum(-1), batch.tokens.reference.sum(-1)
    rewards = batch.rewards - beta * (behaviour - reference)
    others = (rewards.sum(1, keepdim=True) - rewards) / (G - 1)
    theirs = trl_loss(trl.RLOOTrainer, batch, rewards - others)
    ours = create("rloo", beta=beta, samples=G).loss(batch).per_example.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch), gradient(theirs, batch), atol=1e-5, rtol=1e-5)


def test_the_first_update_of_rloo_is_reinforce(batch):
    """∂L/∂ log π(y_t) = −A/(N·G) at every token of a response, by hand for r = (0, 1, 2, 5): A = (−8/3, −4/3, 0, 4)."""
    tokens = replace(batch.tokens, behaviour=None)
    rewards = torch.tensor([[0.0, 1.0, 2.0, 5.0]]).expand(N, G)
    loss = create("rloo", beta=0.0, samples=G).loss(replace(batch, tokens=tokens, rewards=rewards)).per_example.mean()
    expected = -torch.tensor([-8 / 3, -4 / 3, 0.0, 4.0]) / (N * G)
    torch.testing.assert_close(gradient(loss, batch), expected[None, :, None] * tokens.mask)


def test_grpo_by_hand():
    """Two samples of 2 and 1 tokens, r = (1, 0): mean ½, deviation √½, A = ±0.5/(0.707107 + 0.0001) = ±0.707007.

    q = (1, 2) and ½; clip 0.2. First: −(1·A + 1.2·A)/2 = −0.777708. Second, A < 0: −min(½A, 0.8A) = 0.8·0.707007 =
    0.565605. d = log π_θ/π_ref = (0, log 2) and 0: e^−d + d − 1 = 0.193147 once, a mean of 0.096574 over two tokens.
    (−0.777708 + 0.5·0.096574 + 0.565605)/2 = −0.081908.
    """
    mask = torch.tensor([[[True, True], [True, False]]])
    behaviour = torch.tensor([[[-1.0, -2.0], [-1.0, 0.0]]])
    logps = behaviour + torch.tensor([[[1.0, 2.0], [0.5, 1.0]]]).log()
    reference = logps - torch.tensor([[[1.0, 2.0], [1.0, 1.0]]]).log()
    batch = MethodBatch(
        logps.sum(-1), torch.tensor([[2.0, 1.0]]), torch.zeros(1, 2, dtype=torch.bool), reference.sum(-1),
        rewards=torch.tensor([[1.0, 0.0]]), tokens=Tokens(logps, mask, reference, behaviour),
    )  # fmt: skip
    loss = create("grpo", beta=0.5, samples=2).loss(batch)
    assert loss.per_example.item() == pytest.approx(-0.081908, abs=1e-5)


def test_advantages_of_equal_rewards_are_zero_and_ignore_shift_and_for_grpo_scale():
    rewards = torch.rand(3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert group_advantages(torch.full((2, 3), 0.7)).abs().max() < 1e-3
    assert leave_one_out(torch.full((2, 3), 0.7, dtype=torch.float64)).abs().max() < 1e-12
    torch.testing.assert_close(leave_one_out(rewards + 9), leave_one_out(rewards))
    torch.testing.assert_close(group_advantages(100 * rewards + 9), group_advantages(rewards), atol=2e-3, rtol=0)
    assert group_advantages(rewards).sum(1).abs().max() < 1e-12


@pytest.mark.parametrize(("field", "value"), [("samples", 1), ("samples", 2.0), ("updates", 0), ("samples", True)])
@pytest.mark.parametrize("name", ["grpo", "rloo"])
def test_counts_are_whole_numbers(name, field, value):
    with pytest.raises(ValueError, match=f"{field} must be a whole number of at least"):
        create(name, **{field: value})
