"""On-policy losses: parity with TRL's own loss code on fixed log-probs, and values computed by hand."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from trainers.methods import create, methods
from trainers.methods.gdpo import decoupled_advantages
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
    defaults = {
        "epsilon_low": 0.2, "epsilon_high": 0.2, "aux_loss_enabled": False, "accelerator": accelerator,
        "model": SimpleNamespace(training=True), "_metrics": {"train": defaultdict(list)},
        "current_gradient_accumulation_steps": 1, "top_entropy_quantile": 1.0, "off_policy_mask_threshold": None,
        "importance_sampling_level": "token", "loss_type": "grpo", "use_vllm": False, "_entropy_bonus_enabled": False,
        "args": SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1), "beta": 0.0,
        "_get_per_token_logps_and_entropies": lambda *_, **__: (rows(tokens.logps), torch.zeros(N * G, T), None),
    }  # fmt: skip
    trainer = SimpleNamespace(**defaults | settings)
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


@pytest.mark.parametrize(
    ("name", "parameters", "settings"),
    [
        ("dapo", {}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ("dapo", {"clip_low": 0.1, "clip_high": 0.4}, {"loss_type": "dapo", "epsilon_low": 0.1, "epsilon_high": 0.4}),
        ("gspo", {"clip_low": 0.05, "clip_high": 0.08},
         {"importance_sampling_level": "sequence", "epsilon_low": 0.05, "epsilon_high": 0.08}),
        ("cispo", {}, {"loss_type": "cispo", "epsilon_high": 5.0}),
        ("cispo", {"clip_high": 1.1}, {"loss_type": "cispo", "epsilon_high": 1.1}),
    ],
)  # fmt: skip
def test_the_grpo_family_is_trls(name, parameters, settings, batch):
    trl = pytest.importorskip("trl")
    theirs = trl_loss(trl.GRPOTrainer, batch, trl_advantages(batch.rewards), **settings)
    ours = create(name, samples=G, **parameters).loss(batch).per_example.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch), gradient(theirs, batch), atol=1e-5, rtol=1e-5)


def test_dr_grpo_is_trls(batch):
    trl = pytest.importorskip("trl")
    centred = batch.rewards - batch.rewards.mean(1, keepdim=True)
    theirs = trl_loss(trl.GRPOTrainer, batch, centred, loss_type="dr_grpo", max_completion_length=T)
    ours = create("dr_grpo", constant_length=float(T), samples=G).loss(batch).per_example.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch), gradient(theirs, batch), atol=1e-5, rtol=1e-5)


def even(batch: MethodBatch, length: int) -> MethodBatch:
    """The same batch with responses of one length."""
    cut = {name: getattr(batch.tokens, name)[..., :length] for name in ("logps", "reference", "behaviour")}
    tokens = Tokens(mask=torch.ones(N, G, length, dtype=torch.bool), **cut)
    return replace(
        batch, tokens=tokens, logps=tokens.logps.sum(-1), reference=tokens.reference.sum(-1),
        lengths=torch.full((N, G), float(length)),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "parameters", "grpo", "length"),
    [
        ("dapo", {"clip_high": 0.2}, {}, 5),
        ("dr_grpo", {"constant_length": 5.0}, {"scale": "none"}, 5),
        ("gspo", {"clip_low": 0.2, "clip_high": 0.2}, {}, 1),
    ],
)
def test_grpo_without_reference_for_responses_of_one_length(name, parameters, grpo, length, batch):
    level = even(batch, length)
    left = create(name, samples=G, **parameters).loss(level).per_example
    right = create("grpo", beta=0.0, samples=G, **grpo).loss(level).per_example
    torch.testing.assert_close(left, right, atol=1e-6, rtol=0)
    torch.testing.assert_close(gradient(left.mean(), level), gradient(right.mean(), level), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("name", "other"), [("gspo", "grpo"), ("cispo", "dapo")])
def test_first_updates_agree(name, other, batch):
    """While q = 1 nothing is clipped, and a response's ratio has the gradient of its tokens' mean."""
    fresh = replace(batch, tokens=replace(batch.tokens, behaviour=None))
    settings = {"beta": 0.0} if other == "grpo" else {}
    slopes = [
        gradient(method.loss(fresh).per_example.mean(), fresh)
        for method in (create(name, samples=G), create(other, samples=G, **settings))
    ]
    torch.testing.assert_close(*slopes, atol=1e-7, rtol=1e-5)


def test_cispo_keeps_the_gradient_of_a_token_beyond_the_bound(batch):
    """∂L/∂log π(y_t) = −min(q, ε)·A over the number of tokens, as no derivative passes through the weight."""
    tokens = batch.tokens
    loss = create("cispo", clip_high=1.1, samples=G).loss(batch).per_example.mean()
    ratio = (tokens.logps - tokens.behaviour).detach().exp()
    assert (ratio[tokens.mask] > 1.1).any() and (ratio[tokens.mask] < 1.1).any()
    expected = -ratio.clamp(max=1.1) * group_advantages(batch.rewards)[..., None] * tokens.mask / tokens.mask.sum()
    torch.testing.assert_close(gradient(loss, batch), expected)


def test_reinforce_pp_by_hand():
    """Two prompts with two samples of one token, r = (4, 2) and (0, 2), β = 0: mean 2, deviation √2, A = (√2, 0, −√2, 0).

    In the first update the gradient is −A/4. With β = 1 and log(π_old/π_ref) = (2, 0, −2, 0) every A is 0.
    """
    mask = torch.ones(2, 2, 1, dtype=torch.bool)
    logps = torch.full((2, 2, 1), -1.0, requires_grad=True)
    reference = logps.detach() - torch.tensor([[[2.0], [0.0]], [[-2.0], [0.0]]])
    batch = MethodBatch(
        logps.sum(-1), torch.ones(2, 2), torch.zeros(2, 2, dtype=torch.bool), reference.sum(-1),
        rewards=torch.tensor([[4.0, 2.0], [0.0, 2.0]]), tokens=Tokens(logps, mask, reference),
    )  # fmt: skip
    slopes = [gradient(create("reinforce_pp", beta=b).loss(batch).per_example.mean(), batch) for b in (0.0, 1.0)]
    expected = -torch.tensor([[2**0.5, 0.0], [-(2**0.5), 0.0]])[..., None] / 4
    torch.testing.assert_close(slopes[0], expected, atol=1e-6, rtol=0)
    torch.testing.assert_close(slopes[1], torch.zeros(2, 2, 1), atol=1e-6, rtol=0)


def test_reinforce_pp_counts_the_divergence_from_a_token_on():
    """One response of two tokens with log(π_old/π_ref) = (1, 3), r = 10, β = 1: returns 6 and 7, A = −1 and 1.

    A second one of two tokens has the same returns, so that the mean is 6.5 and the deviation ½.
    """
    mask, logps = torch.ones(1, 2, 2, dtype=torch.bool), torch.full((1, 2, 2), -4.0, requires_grad=True)
    reference = logps.detach() - torch.tensor([1.0, 3.0])
    batch = MethodBatch(
        logps.sum(-1), torch.full((1, 2), 2.0), torch.zeros(1, 2, dtype=torch.bool), reference.sum(-1),
        rewards=torch.tensor([[10.0, 10.0]]), tokens=Tokens(logps, mask, reference),
    )  # fmt: skip
    slope = gradient(create("reinforce_pp", beta=1.0).loss(batch).per_example.mean(), batch)
    torch.testing.assert_close(slope, torch.tensor([0.25, -0.25]).expand(1, 2, 2), atol=1e-6, rtol=0)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_morlhf_without_values_is_reinforce_pp(beta, batch):
    """V = 0 and λ = γ = 1: the generalised advantage of a token is the sum of the rewards from there on."""
    blank = replace(batch, tokens=replace(batch.tokens, values=torch.zeros(N, G, T)), values=torch.zeros(N))
    shared = {"beta": beta, "samples": G}
    ppo = create("morlhf", trace=1.0, value_coefficient=0.0, **shared).loss(blank).per_example
    plain = create("reinforce_pp", **shared).loss(blank).per_example
    torch.testing.assert_close(ppo, plain, atol=1e-6, rtol=0)
    slopes = [gradient(loss.mean(), blank) for loss in (ppo, plain)]
    torch.testing.assert_close(*slopes, atol=1e-7, rtol=1e-5)


def test_morlhf_teaches_values_the_return(batch):
    """λ = 1 and γ = 1: G_t is the reward of the response at all its tokens; dL/dV_t = c_V·(V_t − r) over the tokens."""
    values = torch.rand(N, G, T, generator=torch.Generator().manual_seed(9)).requires_grad_()
    held = replace(batch, tokens=replace(batch.tokens, values=values), values=torch.zeros(N))
    method = create("morlhf", beta=0.0, trace=1.0, value_coefficient=0.4, samples=G)
    (slope,) = torch.autograd.grad(method.loss(held).per_example.mean(), values)
    mask = batch.tokens.mask
    expected = 0.4 * (values.detach() - batch.rewards[..., None]) * mask / mask.sum()
    torch.testing.assert_close(slope, expected, atol=1e-7, rtol=1e-5)


def test_online_dpo_is_dpo_on_the_best_and_the_worst_sample(batch):
    online, rows = create("online_dpo", beta=0.3, samples=G).loss(batch), torch.arange(N)
    best, worst = batch.rewards.argmax(1), batch.rewards.argmin(1)
    pair = {
        n: torch.stack([getattr(batch, n)[rows, k] for k in (best, worst)], 1)
        for n in ("logps", "reference", "lengths")
    }
    dpo = create("dpo", beta=0.3).loss(MethodBatch(desirable=torch.tensor([[True, False]]).expand(N, 2), **pair))
    told_apart = torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(online.per_example, dpo.per_example * told_apart, atol=1e-6, rtol=0)
    assert online.metrics["told_apart"].tolist() == told_apart.tolist()


def test_gdpo_is_trls_aggregation(batch):
    """Advantages by TRL's "normalize_then_sum" with its own deviation, in GRPO's loss."""
    trl = pytest.importorskip("trl")
    from trl.trainer.utils import nanstd

    g = torch.Generator().manual_seed(8)
    rewards, weights = torch.rand(N, G, 3, generator=g), torch.tensor([1.0, 0.3, 2.0])
    rewards[1, :, 2] = 0.4
    each = (rewards - rewards.mean(1, keepdim=True)) / (nanstd(rewards, dim=1, keepdim=True) + 1e-4)
    total = (each * weights).sum(-1).reshape(-1)
    advantages = (total - total.mean()) / (nanstd(total) + 1e-4)
    theirs = trl_loss(trl.GRPOTrainer, batch, advantages, beta=0.04)
    objectives = {"objective_rewards": rewards, "objective_weights": weights.expand(N, 3)}
    ours = create("gdpo", samples=G).loss(replace(batch, **objectives)).per_example.mean()
    assert ours.item() == pytest.approx(theirs.item(), abs=1e-5)
    torch.testing.assert_close(gradient(ours, batch), gradient(theirs, batch), atol=1e-5, rtol=1e-5)


def test_gdpo_tells_apart_what_grpo_confuses():
    """Rewards (0, 1), (1, 0), (0, 2): sums 1, 1, 2 for GRPO; an objective's scale changes nothing for GDPO."""
    rewards = torch.tensor([[[0.0, 1.0], [1.0, 0.0], [0.0, 2.0]]], dtype=torch.float64)
    weights = torch.ones(1, 2, dtype=torch.float64)
    sums = group_advantages(rewards.sum(-1))
    apart = decoupled_advantages(rewards, weights)
    assert sums[0, 0] == sums[0, 1] and abs(apart[0, 0] - apart[0, 1]) > 0.1
    scaled = decoupled_advantages(rewards * torch.tensor([1.0, 1000.0]), weights)
    torch.testing.assert_close(scaled, apart, atol=1e-3, rtol=0)


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
@pytest.mark.parametrize("name", [name for name in methods() if create(name).needs.on_policy])
def test_counts_are_whole_numbers(name, field, value):
    with pytest.raises(ValueError, match=f"{field} must be a whole number( of at least [12])?, not {value}"):
        create(name, **{field: value})
