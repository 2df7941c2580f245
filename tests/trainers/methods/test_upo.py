"""UPO: the paper's snippet, limits, and the control KTO + SFT."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainers.methods import create, methods
from trainers.methods.auxiliary import effective_sample_size, expectile
from trainers.methods.interface import MethodBatch


def paper_loss(batch, gamma=0.5, lam=5.0, tau=0.7):
    """The appendix code of arXiv 2405.17956, response by response in plain Python."""
    z0 = max(0.0, float((batch.mismatched - batch.mismatched_reference).mean()))
    total, count = 0.0, batch.logps.numel()
    values = batch.values.tolist()
    for i, row in enumerate(batch.logps.tolist()):
        for k, logp in enumerate(row):
            ratio = float(logp - batch.reference[i, k])
            sign = 1 if batch.desirable[i, k] else -1
            kto = 1 - 1 / (1 + math.exp(-0.1 * sign * (ratio - z0)))
            error = float(batch.rewards[i, k]) - values[i]
            policy = -math.exp(lam * error) * float(logp) / float(batch.lengths[i, k])
            value = abs(tau - (error < 0)) * error**2
            total += kto + gamma * policy + 0.1 * value
    return total / count


@pytest.mark.parametrize("responses", [1, 2])
def test_equals_the_papers_snippet(responses, make_batch):
    method = create("upo")
    batch = make_batch(method, responses=responses)
    assert method.loss(batch).per_example.mean().item() == pytest.approx(paper_loss(batch), abs=1e-12)


def test_golden_value():
    """One pair, by hand. ρ = (−3, −5) − (−4, −4) = (1, −1), no mismatch so z₀ = 0, β = 0.1.

    KTO: σ(−0.1) and σ(−0.1), both 0.475021. A = (0.8, 0.2) − 0.5 = (0.3, −0.3); weights e^1.5 = 4.481689 and
    e^−1.5 = 0.223130; ℓ̄ = (−3/6, −5/5) = (−0.5, −1). L_pi = (4.481689·0.5 + 0.223130·1)/2 = 1.231987.
    L_V = (0.7·0.09 + 0.3·0.09)/2 = 0.045. Total 0.475021 + 0.5·1.231987 + 0.1·0.045 = 1.095514.
    """
    batch = MethodBatch(
        logps=torch.tensor([[-3.0, -5.0]]),
        lengths=torch.tensor([[6.0, 5.0]]),
        desirable=torch.tensor([[True, False]]),
        reference=torch.tensor([[-4.0, -4.0]]),
        rewards=torch.tensor([[0.8, 0.2]]),
        values=torch.tensor([0.5]),
        step=101,
    )
    assert create("upo").loss(batch).per_example.item() == pytest.approx(1.095514, abs=1e-5)


@pytest.mark.parametrize("base", ["kto", "dpo", "modpo", "sft"])
@pytest.mark.parametrize("step", [0, 100, 1000])
def test_gamma_zero_is_the_base_bit_for_bit(base, step, make_batch, gradient):
    upo = create("upo", gamma=0.0, base=base)
    batch = make_batch(upo, step=step)
    plain = create(base)
    assert torch.equal(gradient(upo, batch), gradient(plain, batch))
    without_value = create("upo", gamma=0.0, value_coefficient=0.0, base=base)
    assert torch.equal(without_value.loss(batch).per_example, plain.loss(batch).per_example)


def test_auxiliary_term_is_exactly_zero_until_after_the_warm_up(make_batch, gradient):
    upo, kto = create("upo", aux_warmup=100), create("kto")
    warm, on = make_batch(upo, step=99), make_batch(upo, step=100)
    assert torch.equal(gradient(upo, warm), gradient(kto, warm))
    assert upo.loss(warm).metrics["auxiliary_gradient_share"].item() == 0
    assert not torch.equal(gradient(upo, on), gradient(kto, on))


@pytest.mark.parametrize("responses", [1, 2])
def test_lambda_zero_is_the_control_and_the_control_is_kto_plus_likelihood(responses, make_batch, gradient):
    upo, control, kto = create("upo", inverse_temperature=0.0), create("kto_sft"), create("kto")
    batch = make_batch(upo, responses=responses)
    assert torch.equal(gradient(upo, batch), gradient(control, batch))
    without_value = create("upo", inverse_temperature=0.0, value_coefficient=0.0)
    assert torch.equal(without_value.loss(batch).per_example, control.loss(batch).per_example)
    by_hand = kto.loss(batch).per_example - 0.5 * (batch.logps / batch.lengths).mean(dim=1)
    torch.testing.assert_close(control.loss(batch).per_example, by_hand, rtol=0, atol=1e-12)


@pytest.mark.parametrize("responses", [1, 2])
def test_control_on_chosen_only_is_kto_plus_sft(responses, make_batch):
    control = create("kto_sft", chosen_only=True, gamma=0.3)
    batch = make_batch(control, responses=responses)
    by_hand = create("kto").loss(batch).per_example + 0.3 * create("sft").loss(batch).per_example
    torch.testing.assert_close(control.loss(batch).per_example, by_hand, rtol=0, atol=1e-12)


def test_constant_reward_gives_unit_weights_once_the_value_has_learned_it(make_batch, gradient):
    upo = create("upo")
    constant = torch.full((6, 2), 0.9, dtype=torch.float64)
    batch = make_batch(upo, rewards=constant, values=constant[:, 0])
    metrics = upo.loss(batch).metrics
    assert metrics["weight_max"].item() == 1 and metrics["weight_effective_share"].item() == 1
    assert metrics["value_loss"].abs().max().item() == 0
    assert torch.equal(gradient(upo, batch), gradient(create("kto_sft"), batch))


def test_permuting_rewards_changes_the_auxiliary_and_value_terms_only(make_batch):
    upo = create("upo")
    batch = make_batch(upo)
    straight = upo.loss(batch).metrics
    permuted = upo.loss(replace(batch, rewards=batch.rewards[[1, 2, 3, 4, 5, 0]])).metrics
    assert torch.equal(straight["base_loss"], permuted["base_loss"])
    assert not torch.equal(straight["auxiliary_loss"], permuted["auxiliary_loss"])
    assert not torch.equal(straight["value_loss"], permuted["value_loss"])


def test_value_loss_reaches_the_value_only_and_the_policy_terms_never_do(make_batch):
    """dL_V/dV = −2·|τ − 1(e < 0)|·e, averaged over a pair's two responses and six pairs, times 0.1."""
    upo = create("upo")
    batch = make_batch(upo)
    upo.loss(batch).per_example.mean().backward()
    error = batch.rewards - batch.values.detach()[:, None]
    slope = -2 * (0.7 - (error < 0).double()).abs() * error
    torch.testing.assert_close(batch.values.grad, 0.1 * slope.mean(dim=1) / 6, rtol=0, atol=1e-12)


def test_expectile_minimiser_moves_up_with_tau():
    """For rewards 0 and 1 in equal parts the τ-expectile is τ: (1 − τ)·V = τ·(1 − V)."""
    rewards = torch.tensor([0.0, 1.0], dtype=torch.float64)
    for tau in (0.3, 0.5, 0.7, 0.9):
        value = torch.tensor(tau, dtype=torch.float64, requires_grad=True)
        expectile(rewards - value, tau).mean().backward()
        assert value.grad.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_margin_turns_a_pair_into_modpos_logit(beta, make_batch, gradient):
    """DPO with margin α = w/w₀ and β/w₀ is MODPO at weight w."""
    weight = 0.3
    upo = create(
        "upo", gamma=0.0, value_coefficient=0.0, aux_margin_in_preference=True, alpha=weight / (1 - weight),
        base="dpo", base_parameters={"beta": beta / (1 - weight)},
    )  # fmt: skip
    modpo = create("modpo", weight=weight, beta=beta)
    batch = make_batch(upo)
    torch.testing.assert_close(upo.loss(batch).per_example, modpo.loss(batch).per_example, rtol=0, atol=1e-10)
    torch.testing.assert_close(gradient(upo, batch), gradient(modpo, batch), rtol=0, atol=1e-10)


def test_margin_in_kto_takes_the_advantage_off_the_implicit_reward(make_batch):
    """Desirable: σ(−β(ρ − z₀) + αA); a rewarded response needs less preference to be explained."""
    upo = create("upo", gamma=0.0, value_coefficient=0.0, aux_margin_in_preference=True, alpha=2.0)
    batch = make_batch(upo, responses=1, desirable=torch.ones(6, 1, dtype=torch.bool))
    baseline = (batch.mismatched - batch.mismatched_reference).mean().clamp(min=0)
    gain = 0.1 * (batch.log_ratios - baseline) - 2.0 * (batch.rewards - batch.values.detach()[:, None])
    torch.testing.assert_close(upo.loss(batch).per_example, torch.sigmoid(-gain)[:, 0], rtol=0, atol=1e-12)


def test_reverse_kl_auxiliary_vanishes_at_its_target_and_only_there(make_batch, gradient):
    """π_r ∝ π_ref·exp(λR): ρ = λR + const(x) is the optimum, where loss and gradient are 0."""
    upo = create("upo", auxiliary="reverse_kl", gamma=1.0, value_coefficient=0.0, base="sft")
    sft = create("sft")
    batch = make_batch(upo)
    there = replace(batch, logps=(batch.reference + 5 * batch.rewards + 1.7).requires_grad_())
    assert upo.loss(there).metrics["auxiliary_loss"].abs().max().item() < 1e-12
    torch.testing.assert_close(gradient(upo, there), gradient(sft, there), rtol=0, atol=1e-12)
    assert upo.loss(batch).metrics["auxiliary_loss"].min().item() > 1e-3


def test_gradient_share_is_what_autograd_says(make_batch, gradient):
    upo = create("upo")
    batch = make_batch(upo)
    base = gradient(create("kto"), batch)
    auxiliary = gradient(upo, batch) - base
    share = auxiliary.abs().sum() / (auxiliary.abs().sum() + base.abs().sum())
    assert upo.loss(batch).metrics["auxiliary_gradient_share"].item() == pytest.approx(share.item(), abs=1e-9)


def test_gradient_share_where_nothing_pulls_and_where_nothing_is_trained(make_batch):
    """An undesirable response has no SFT gradient, the auxiliary none while it warms up: 0, not 0/0."""
    upo = create("upo", base="sft", aux_warmup=1)
    batch = make_batch(upo, responses=1, step=0, desirable=torch.zeros(6, 1, dtype=torch.bool))
    frozen = replace(batch, logps=batch.logps.detach())
    with torch.no_grad():
        assert upo.loss(frozen).metrics["auxiliary_gradient_share"].item() == 0
    assert not frozen.logps.requires_grad


def test_auxiliary_share_of_the_gradient_at_200_and_20_tokens(make_batch):
    """Per token, KTO pulls ≈ β/4 and the auxiliary ≈ γ/n: a share of 1/11 ... at n = 200, one half at n = 20.

    At Δ = 0 and weight 1 the two are exactly 0.025 and 0.5/n, so the shares are 0.0025/0.0275 and 0.5.
    """
    upo = create("upo")
    for tokens, share in ((200, 0.0025 / 0.0275), (20, 0.5)):
        held = torch.full((6, 2), -50.0, dtype=torch.float64)
        batch = make_batch(
            upo, logps=held, reference=held, mismatched=held[:, 0], mismatched_reference=held[:, 0],
            lengths=torch.full_like(held, tokens), rewards=held + 50.9, values=held[:, 0] + 50.9,
        )  # fmt: skip
        assert upo.loss(batch).metrics["auxiliary_gradient_share"].item() == pytest.approx(share, abs=1e-9)


def test_weight_clamp_and_effective_sample_size(make_batch):
    """λ = 5 and advantages in [−1, 1] bound the weights by e⁵; weights (1, 1, 1, 0) are worth 3 responses."""
    clamped = create("upo", max_weight=2.0)
    batch = make_batch(clamped)
    assert create("upo").loss(batch).metrics["weight_max"].item() <= math.exp(5)
    assert clamped.loss(batch).metrics["weight_max"].item() == pytest.approx(2.0)
    assert effective_sample_size(torch.tensor([1.0, 1.0, 1.0, 0.0]).log()).item() == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tau": 1.0}, r"UPO: tau must be a number in \(0, 1\), not 1.0"),
        ({"max_weight": 0}, r"max_weight must be a number in \(0, inf\)"),
        ({"auxiliary": "kl"}, "auxiliary must be one of 'forward_kl', 'reverse_kl', not 'kl'"),
        ({"base": "ktto"}, "unknown method 'ktto'; did you mean 'kto'"),
        ({"base": "upo"}, "base 'upo' has a value head"),
        ({"base_parameters": [1]}, "base_parameters must be a mapping, not"),
        ({"aux_margin_in_preference": "no"}, "aux_margin_in_preference must be true or false, not 'no'"),
        ({"base_parameters": {"betta": 1}}, "no hyperparameter 'betta'; did you mean 'beta'"),
        ({"base": "sft", "aux_margin_in_preference": True}, "needs a base on beta times SUM log-ratios, not 'sft'"),
    ],
)
def test_bad_settings_are_one_clear_message(parameters, message):
    with pytest.raises(ValueError, match=message):
        create("upo", **parameters)


@pytest.mark.parametrize("auxiliary", ["forward_kl", "reverse_kl"])
@pytest.mark.parametrize("base", list(methods()))
def test_every_method_can_be_the_base_or_says_why_not(base, auxiliary, make_batch, gradient):
    try:
        upo = create("upo", base=base, auxiliary=auxiliary, gamma=0.25)
    except ValueError as refusal:
        needs = create(base).needs
        own = needs.values or needs.base_responses or needs.token_level
        assert own or (needs.references > 1 and auxiliary == "reverse_kl"), refusal
        return
    batch = make_batch(upo)
    metrics = upo.loss(batch).metrics
    torch.testing.assert_close(metrics["base_loss"], create(base).loss(batch).per_example)
    assert gradient(upo, batch).isfinite().all() and 0 < metrics["auxiliary_gradient_share"].item() < 1


def test_needs_follow_the_base():
    assert not create("upo").needs.pairs and create("upo").needs.couples_examples
    pairwise = create("upo", base="dpo").needs
    assert pairwise.pairs and pairwise.rewards and pairwise.values and not pairwise.mismatched
    assert create("upo", auxiliary="reverse_kl").needs.pairs
    control = create("kto_sft").needs
    assert control == create("kto").needs


def test_the_value_of_a_response_is_the_mean_of_its_tokens(make_batch, gradient):
    """The same V at every token of both responses is V(x): the same loss and the same gradient as with V(x)."""
    by_prompt, by_response = create("upo"), create("upo", value="response_mean")
    batch = make_batch(by_response)
    same = batch.values.detach()[:, None, None].expand(batch.tokens.mask.shape)
    flat = replace(batch, tokens=replace(batch.tokens, values=same))
    torch.testing.assert_close(by_response.loss(flat).per_example, by_prompt.loss(batch).per_example)
    assert not torch.allclose(by_response.loss(batch).per_example, by_prompt.loss(batch).per_example)
    by_hand = [
        [batch.tokens.values[i, k, : int(batch.lengths[i, k])].mean().item() for k in range(2)] for i in range(6)
    ]  # fmt: skip
    error = batch.rewards - torch.tensor(by_hand)
    value_loss = by_response.loss(batch).metrics["value_loss"]
    torch.testing.assert_close(value_loss, expectile(error, 0.7).mean(1).detach())
    (pull,) = torch.autograd.grad(by_response.loss(batch).per_example.sum(), batch.tokens.values)
    assert (pull != 0).equal(batch.tokens.mask)


@pytest.mark.parametrize("name", ["upo", "kto_sft"])
def test_a_base_on_single_tokens_is_refused(name):
    with pytest.raises(ValueError, match="'oppo' is a loss on single tokens"):
        create(name, base="oppo")
