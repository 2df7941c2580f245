"""Equalities of methods at corners of their hyperparameters, in losses and in gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from trainers.methods import create
from trainers.methods.interface import MethodBatch


@pytest.fixture
def pairs() -> MethodBatch:
    """Everything any method needs, over eight pairs whose rewards agree with their labels."""
    g = torch.Generator().manual_seed(7)

    def normal(*shape):
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    chosen = torch.rand(8, 1, generator=g, dtype=torch.float64)
    reference = -40 + 3 * normal(8, 2)
    return MethodBatch(
        logps=(-40 + 3 * normal(8, 2)).requires_grad_(),
        lengths=torch.randint(4, 20, (8, 2), generator=g).double(),
        desirable=torch.tensor([[True, False]]).expand(8, 2),
        reference=reference,
        references=torch.stack([reference, reference]),
        mismatched=-40 + normal(8),
        mismatched_reference=-41 + normal(8),
        rewards=torch.cat([1 + chosen, chosen], dim=1),
        values=normal(8),
        embeddings=normal(8, 4),
        step=1000,
    )


def with_base_response(pairs: MethodBatch) -> MethodBatch:
    columns = {name: getattr(pairs, name) for name in ("logps", "reference")}
    third = {name: torch.cat([column, column[:, :1] - 1.5], dim=1) for name, column in columns.items()}
    return replace(pairs, **third, lengths=torch.cat([pairs.lengths, pairs.lengths[:, :1]], dim=1))


def one(pairs: MethodBatch) -> MethodBatch:
    """The first pair as a batch of one."""
    return replace(
        pairs, logps=pairs.logps[:1].detach().clone().requires_grad_(), reference=pairs.reference[:1],
        references=pairs.references[:, :1], lengths=pairs.lengths[:1], desirable=pairs.desirable[:1],
        rewards=pairs.rewards[:1], embeddings=pairs.embeddings[:1], mismatched=None, values=pairs.values[:1],
    )  # fmt: skip


def same(left, right, batch: MethodBatch, gradient, exact: bool, right_scores: MethodBatch | None = None) -> None:
    """Losses and gradients agree: bit for bit, or within 1e-6 in double precision."""
    right_scores = right_scores or batch
    check = (lambda a, b: None if torch.equal(a, b) else pytest.fail(f"{a} != {b}")) if exact else (
        lambda a, b: torch.testing.assert_close(a, b, rtol=0, atol=1e-6)
    )  # fmt: skip
    check(left.loss(batch).per_example, right.loss(right_scores).per_example)
    check(gradient(left, batch), gradient(right, right_scores))


@pytest.mark.parametrize(
    ("name", "parameters", "exact"),
    [
        ("odpo", {"alpha": 0.0}, True),
        ("modpo", {"weight": 0.0}, True),
        ("mrpo", {}, False),  # two identical references, through logsumexp
        ("mrpo", {"eta": 0.0, "weighting": "more_confident"}, False),
        ("rosepo", {"temperature": 1e-4}, True),  # every label certain: ε = 0
        ("cdpo", {"epsilon": 0.0}, True),
        ("rdpo", {"epsilon": 0.0}, True),
        ("ada_dpo", {"tau_min": 1.0, "tau_max": 1.0}, True),
        ("rso_sigmoid", {"gamma": 0.1}, True),
        ("infonca", {"beta": 0.1, "alpha": 1e-4}, False),  # certain rewards
        ("upo", {"gamma": 0.0, "value_coefficient": 0.0, "base": "dpo"}, True),
        ("dpo_nll", {"alpha": 0.0}, True),
        ("r_dpo", {"alpha": 0.0}, True),
        ("f_dpo", {"divergence": "alpha", "alpha": 1e-9}, False),
    ],
    ids=lambda value: str(value) if not isinstance(value, bool) else "",
)
def test_is_dpo(name, parameters, exact, pairs, gradient):
    same(create(name, **parameters), create("dpo"), pairs, gradient, exact)


def test_tr_dpo_has_the_loss_of_its_base(pairs, gradient):
    """What moves is the reference, which the trainer holds."""
    same(create("tr_dpo"), create("dpo"), pairs, gradient, exact=True)
    same(create("tr_dpo", base="ipo"), create("ipo"), pairs, gradient, exact=True)


def test_bapo_without_anchor_is_dpo(pairs):
    """The base response must have no gradient and the pair DPO's."""
    bapo = create("bapo", anchor_weight=0.0)
    logps = pairs.logps.detach().requires_grad_()
    triple = with_base_response(replace(pairs, logps=logps))
    (gradient,) = torch.autograd.grad(bapo.loss(triple).per_example.mean(), logps)
    (dpo,) = torch.autograd.grad(create("dpo").loss(pairs).per_example.mean(), pairs.logps)
    assert torch.equal(bapo.loss(triple).per_example, create("dpo").loss(pairs).per_example)
    assert torch.equal(gradient, dpo)


@pytest.mark.parametrize(("parameters", "other"), [
    ({"beta": 0.1, "alpha": 0.0}, create("cpo", alpha=0.0)),
    ({"beta": 0.1, "alpha": 1.0}, create("cpo")),
    ({"beta": 2.5, "alpha": 0.0, "average": True, "margin": 2.5 * 0.3}, create("simpo", beta=2.5, margin_ratio=0.3)),
])  # fmt: skip
def test_tpo_with_the_chosen_response_as_gold(parameters, other, pairs):
    logps = pairs.logps.detach().requires_grad_()
    thrice = {name: torch.cat([t, t[:, :1]], dim=1) for name, t in (("logps", logps), ("lengths", pairs.lengths))}
    loss = create("tpo", **parameters).loss(replace(pairs, **thrice)).per_example
    (gradient,) = torch.autograd.grad(loss.mean(), logps)
    expected = other.loss(pairs).per_example
    torch.testing.assert_close(loss, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected.mean(), pairs.logps)[0], rtol=0, atol=1e-12)


def test_mopo_without_a_missed_bound_is_ipo_on_sums(pairs, gradient):
    labelled = replace(pairs, objective_rewards=torch.rand(8, 2, 3, dtype=torch.float64))
    ipo = create("ipo", beta=0.2, average=False)
    same(create("mopo", tau=0.2, bound=0.0), ipo, labelled, gradient, exact=False)
    same(create("mopo", tau=0.2, bound=1.0, penalty=0.0), ipo, labelled, gradient, exact=False)


def test_mopo_s_multipliers_have_no_gradient(pairs, gradient):
    """The gradient is that of a square with a fixed target: 2(Δ − target)/N on either side of the pair."""
    labelled = replace(pairs, objective_rewards=torch.rand(8, 2, 3, dtype=torch.float64))
    mopo = create("mopo", bound=1.0, penalty=2.0)
    slope = 8 * gradient(mopo, labelled)
    torch.testing.assert_close(slope[:, 0] ** 2, 4 * mopo.loss(labelled).per_example, rtol=1e-9, atol=0)
    torch.testing.assert_close(slope[:, 0], -slope[:, 1], rtol=1e-12, atol=0)
    assert mopo.loss(labelled).metrics["multiplier"] > 0


@pytest.mark.parametrize("base", ["dpo", "ipo", "apo_zero"])
def test_humanline_without_a_clamp_is_its_base(base, make_batch, gradient):
    humanline = create("humanline", low=-1e6, high=1e6, base=base)
    batch = make_batch(humanline)
    torch.testing.assert_close(
        humanline.loss(batch).per_example, create(base).loss(batch).per_example, rtol=0, atol=1e-9
    )
    plain = torch.autograd.grad(create(base).loss(batch).per_example.mean(), batch.tokens.logps)[0]
    torch.testing.assert_close(gradient(humanline, batch), plain * batch.tokens.mask, rtol=0, atol=1e-9)


@pytest.mark.parametrize("weighting", ["logits", "losses"])
def test_rpo_of_one_pair_is_dpo(weighting, pairs, gradient):
    same(create("rpo", weighting=weighting), create("dpo"), one(pairs), gradient, exact=True)


def test_rpo_of_one_prompt_weights_losses_evenly(pairs, gradient):
    """Equal embeddings: both weightings are known, ω = 1/N inside the logit or before the loss."""
    alike = replace(pairs, embeddings=torch.ones(8, 4, dtype=torch.float64))
    ratios = alike.log_ratios
    logits = 0.1 * (ratios[:, :1] - ratios[:, 1][None, :])
    softplus = torch.nn.functional.softplus
    inside = create("rpo").loss(alike).per_example
    before = create("rpo", weighting="losses").loss(alike).per_example
    torch.testing.assert_close(inside, softplus(-logits / 8).mean(dim=1), rtol=0, atol=1e-12)
    torch.testing.assert_close(before, softplus(-logits).mean(dim=1), rtol=0, atol=1e-12)


def test_rpo_takes_pairs_apart(pairs, gradient):
    """The same responses given singly, with their prompts' embeddings, have the same batch loss."""
    names = ("logps", "lengths", "desirable", "reference", "rewards")
    columns = {name: getattr(pairs, name).T.reshape(-1, 1) for name in names}
    singles = replace(pairs, **columns, embeddings=pairs.embeddings.repeat(2, 1))
    rpo = create("rpo")
    assert rpo.loss(singles).per_example.mean().item() == pytest.approx(rpo.loss(pairs).per_example.mean().item())


def test_minor_dpo_is_dpo_while_the_rejected_response_is_too_likely(pairs, gradient):
    raised = replace(pairs, reference=pairs.reference - torch.tensor([0.0, 60.0]))
    assert (raised.log_ratios[:, 1] > 0).all()
    same(create("minor_dpo"), create("dpo"), raised, gradient, exact=True)


def test_minor_dpo_pulls_only_the_chosen_side_at_the_start(pairs, gradient):
    """At ρ = 0 the clamp's gradient is taken as 0; DPO's would be β/2 on either side."""
    start = replace(pairs, reference=pairs.logps.detach())
    slope = 8 * gradient(create("minor_dpo"), start)
    assert slope[:, 1].abs().max() == 0 and slope[:, 0].tolist() == pytest.approx([-0.05] * 8)


def test_alpha_dpo_without_alpha_is_simpo(pairs, gradient):
    settings = {"beta": 2.5, "margin_ratio": 0.3}
    same(create("alpha_dpo", alpha=0.0, **settings), create("simpo", **settings), pairs, gradient, exact=True)


def test_simpo_without_margin_and_length_is_reference_free_dpo(pairs, gradient):
    single = replace(pairs, lengths=torch.ones(8, 2, dtype=torch.float64))
    uniform = replace(pairs, reference=torch.zeros(8, 2, dtype=torch.float64))
    same(create("simpo", beta=0.1, margin_ratio=0.0), create("dpo"), single, gradient, True, right_scores=uniform)


def test_cpo_is_reference_free_dpo_and_sft(pairs, gradient):
    uniform = replace(pairs, reference=torch.zeros(8, 2, dtype=torch.float64))
    cpo, dpo, sft = create("cpo", alpha=0.7), create("dpo"), create("sft")
    expected = dpo.loss(uniform).per_example + 0.7 * sft.loss(pairs).per_example
    torch.testing.assert_close(cpo.loss(pairs).per_example, expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(
        gradient(cpo, pairs), gradient(dpo, uniform) + 0.7 * gradient(sft, pairs), rtol=0, atol=1e-12
    )
    same(create("cpo", alpha=0.0), dpo, pairs, gradient, True, right_scores=uniform)


def test_orpo_without_odds_is_sft(pairs, gradient):
    same(create("orpo", weight=0.0), create("sft"), pairs, gradient, exact=True)


def test_slic_on_log_ratios_is_rso_hinge(pairs, gradient):
    """max(0, 1 − Δ): SLiC with δ = 1, λ = 0 on ρ, hinge with γ = 1."""
    shifted = replace(pairs, logps=(pairs.logps - pairs.reference).detach().requires_grad_())
    same(create("slic", likelihood_weight=0.0), create("rso_hinge", gamma=1.0), shifted, gradient, False, pairs)


def test_exo_and_infonca_share_their_targets(pairs):
    """KL(q, p) and CE(p, q) are both smallest at βρ = R/T + const: EXO at 0, CE at the entropy of p."""
    temperature, beta = 0.4, 0.5
    optimum = replace(pairs, logps=(pairs.reference + pairs.rewards / (temperature * beta) + 2).requires_grad_())
    target = torch.softmax(pairs.rewards / temperature, dim=1)
    entropy = -(target * target.log()).sum(dim=1)
    exo = create("exo_reward", beta=beta, reward_temperature=temperature).loss(optimum).per_example
    infonca = create("infonca", beta=beta, alpha=temperature).loss(optimum).per_example
    torch.testing.assert_close(exo, torch.zeros(8).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(infonca, entropy, rtol=0, atol=1e-12)
    for loss in (exo, infonca):
        (slope,) = torch.autograd.grad(loss.mean(), optimum.logps, retain_graph=True)
        assert slope.abs().max() < 1e-12


def test_exo_pref_is_exo_reward_with_the_labels_target(pairs, gradient):
    """R/T = (logit(1 − ε), 0) gives p = (1 − ε, ε)."""
    epsilon = 0.03
    rewards = torch.tensor([[math.log((1 - epsilon) / epsilon), 0.0]], dtype=torch.float64).expand(8, 2)
    labelled = replace(pairs, rewards=rewards)
    same(create("exo", epsilon=epsilon), create("exo_reward", reward_temperature=1.0), labelled, gradient, exact=False)


def test_nca_reward_with_certain_rewards_is_nca(pairs, gradient):
    """α → 0 puts all weight on the chosen response: p = (1, 0), K = 2."""
    same(create("nca_reward", alpha=1e-4), create("nca"), pairs, gradient, exact=False)


@pytest.mark.parametrize("name", ["exo_reward", "infonca", "nca_reward", "rrhf"])
def test_order_of_responses_does_not_matter_where_rewards_rank_them(name, pairs):
    """Three responses in any order have the same loss, when no two rewards tie."""
    g = torch.Generator().manual_seed(3)
    wide = {n: torch.randn(8, 3, generator=g, dtype=torch.float64) for n in ("logps", "reference", "rewards")}
    batch = replace(pairs, **wide, lengths=torch.full((8, 3), 5.0).double(), desirable=torch.zeros(8, 3) == 0)
    method = create(name)
    turned = {n: getattr(batch, n)[:, [2, 0, 1]] for n in wide}
    torch.testing.assert_close(
        method.loss(batch).per_example, method.loss(replace(batch, **turned)).per_example, rtol=0, atol=1e-12
    )


def test_a_lol_at_the_reference_is_its_reference_free_form(pairs, gradient):
    start = replace(pairs, reference=pairs.logps.detach())
    same(create("a_lol"), create("a_lol_ref_free"), start, gradient, exact=True)


def test_dro_v_is_solved_by_the_tilted_reference(pairs):
    """π* ∝ π_ref·exp(R/τ) and V = τ·log Z make every residual 0: loss and both gradients vanish."""
    tau = 0.3
    values = torch.zeros(8, dtype=torch.float64).requires_grad_()
    logps = (pairs.reference + pairs.rewards / tau).requires_grad_()
    dro = create("dro_v", tau=tau).loss(replace(pairs, logps=logps, values=values)).per_example
    slopes = torch.autograd.grad(dro.mean(), [logps, values])
    assert dro.abs().max() < 1e-12 and all(slope.abs().max() < 1e-12 for slope in slopes)


def test_dpo_modpo_and_cdpo_optima():
    """The slope is 0 at βΔ = logit(1 − ε) for cDPO, and for RosePO with the same ε; IPO's at Δ = 1/(2β)."""
    epsilon, beta = 0.2, 0.1
    delta = math.log((1 - epsilon) / epsilon) / beta
    zeros = torch.zeros(1, 2, dtype=torch.float64)
    lone = {"lengths": zeros + 1, "desirable": torch.tensor([[True, False]]), "reference": zeros}

    def slope(name, at, rewards=None, **parameters):
        logps = torch.tensor([[at, 0.0]], dtype=torch.float64, requires_grad=True)
        create(name, **parameters).loss(MethodBatch(logps, **lone, rewards=rewards)).per_example.sum().backward()
        return logps.grad.abs().max().item()

    gap = torch.tensor([[math.log((1 - epsilon) / epsilon), 0.0]], dtype=torch.float64)
    assert slope("cdpo", delta, epsilon=epsilon) < 1e-12 < slope("cdpo", delta + 1, epsilon=epsilon)
    assert slope("rosepo", delta, gap) < 1e-12 < slope("rosepo", delta - 1, gap)
    assert slope("ipo", 5.0) < 1e-12 < slope("ipo", 4.0)


def test_rdpo_is_unbiased_under_label_noise(pairs):
    """(1 − ε)·L(Δ) + ε·L(−Δ) of the robust loss is DPO's loss on the true labels."""
    epsilon = 0.3
    robust = create("rdpo", epsilon=epsilon)
    flipped = replace(pairs, logps=pairs.logps.flip(1), reference=pairs.reference.flip(1))
    unchanged, turned = robust.loss(pairs).per_example, robust.loss(flipped).per_example
    truth = create("dpo").loss(pairs).per_example
    torch.testing.assert_close((1 - epsilon) * unchanged + epsilon * turned, truth, rtol=0, atol=1e-12)


def test_apo_zero_is_kto_with_baseline_zero(pairs, gradient):
    level = replace(pairs, mismatched_reference=pairs.mismatched)
    same(create("apo_zero"), create("kto"), level, gradient, exact=True)


def test_alpha_divergence_of_one_is_forward_kl(pairs, gradient):
    forward = create("f_dpo", divergence="forward_kl")
    same(create("f_dpo", divergence="alpha", alpha=1.0), forward, pairs, gradient, exact=True)


@pytest.mark.parametrize("name", ["alpha_po", "cpo_simpo"])
def test_simpo_at_alpha_zero(name, pairs, gradient):
    shared = {"beta": 3.0, "margin_ratio": 0.2}
    same(create(name, alpha=0.0, **shared), create("simpo", **shared), pairs, gradient, exact=True)


def test_length_normalised_dpo_of_equal_lengths_is_dpo(pairs, gradient):
    level = replace(pairs, lengths=torch.full((8, 2), 10.0).double())
    same(create("dpo_norm", beta=1.0), create("dpo", beta=0.1), level, gradient, exact=False)


def test_length_normalised_dpo_at_a_uniform_reference_is_simpo_without_margin(pairs, gradient):
    uniform = replace(pairs, reference=torch.zeros_like(pairs.reference))
    left, right = create("dpo_norm", beta=2.0), create("simpo", beta=2.0, margin_ratio=0.0)
    same(left, right, uniform, gradient, exact=True)


def test_dpo_with_likelihood_at_a_uniform_reference_is_cpo(pairs, gradient):
    uniform = replace(pairs, reference=torch.zeros_like(pairs.reference))
    same(create("dpo_nll", alpha=0.7), create("cpo", alpha=0.7), uniform, gradient, exact=True)


def test_hypo_is_dpo_where_the_reference_ranks_right(pairs, gradient):
    right = replace(pairs, reference=pairs.reference.sort(dim=1, descending=True).values)
    same(create("hypo"), create("dpo"), right, gradient, exact=False)


def test_hypo_is_reference_free_where_the_reference_ranks_wrong(pairs, gradient):
    wrong = replace(pairs, reference=pairs.reference.sort(dim=1).values)
    uniform = replace(pairs, reference=torch.zeros_like(pairs.reference))
    same(create("hypo"), create("dpo"), wrong, gradient, exact=True, right_scores=uniform)


def test_sppo_is_half_of_ipo_and_a_pull_on_the_sum(pairs, gradient):
    """(a − c)² + (b + c)² = ½(a − b − 2c)² + ½(a + b)², c = 1/(2β)."""
    sppo, ipo = create("sppo", beta=0.2).loss(pairs), create("ipo", beta=0.1, average=False).loss(pairs)
    expected = 0.5 * ipo.per_example + 0.5 * pairs.log_ratios.sum(dim=1).square()
    torch.testing.assert_close(sppo.per_example, expected, rtol=0, atol=1e-9)
    (slope,) = torch.autograd.grad(expected.mean(), pairs.logps)
    torch.testing.assert_close(gradient(create("sppo", beta=0.2), pairs), slope, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["aot", "aot_unpaired"])
def test_aot_of_one_pair_is_dpo(name, pairs, gradient):
    same(create(name), create("dpo"), one(pairs), gradient, exact=False)


def test_aot_of_a_policy_that_orders_pairs_as_its_reference_is_dpo(pairs, gradient):
    """ℓ = 2·ℓ_ref: the same ranks, so that every pair meets its own reference; with ε it is cDPO."""
    doubled = replace(pairs, logps=(2 * pairs.reference).requires_grad_())
    same(create("aot"), create("dpo"), doubled, gradient, exact=False)
    same(create("aot", epsilon=0.2), create("cdpo"), doubled, gradient, exact=False)


def test_aot_does_not_depend_on_which_pair_has_which_reference_gap(pairs):
    turned = replace(pairs, reference=pairs.reference.roll(3, dims=0))
    aot = create("aot")
    assert torch.equal(aot.loss(pairs).per_example, aot.loss(turned).per_example)


def test_unpaired_aot_does_not_depend_on_pairs(pairs):
    """The rejected responses in any order; and all as singletons give the same mean."""
    aot, order = create("aot_unpaired"), torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    columns = {
        n: torch.stack([getattr(pairs, n)[:, 0], getattr(pairs, n)[order, 1]], 1) for n in ("logps", "reference")
    }
    torch.testing.assert_close(aot.loss(replace(pairs, **columns)).per_example, aot.loss(pairs).per_example)
    singles = {n: getattr(pairs, n).reshape(16, 1) for n in ("logps", "reference", "lengths", "desirable")}
    lone = aot.loss(MethodBatch(**singles)).per_example
    torch.testing.assert_close(lone.mean(), aot.loss(pairs).per_example.mean())


def test_bco_without_shift_is_the_sum_of_both_classifications(pairs):
    """Where the batch's implicit rewards have mean 0, twice the loss is −log σ(βρ_w) − log σ(−βρ_l)."""
    centred = replace(pairs, reference=pairs.reference + pairs.log_ratios.detach().mean())
    ratios = 0.1 * centred.log_ratios
    expected = -torch.nn.functional.logsigmoid(torch.stack([ratios[:, 0], -ratios[:, 1]])).sum(dim=0)
    torch.testing.assert_close(2 * create("bco").loss(centred).per_example, expected, rtol=0, atol=1e-12)


def test_bco_ignores_a_common_shift_of_the_implicit_rewards(pairs):
    """δ takes up what all log-ratios have in common, such as log Z."""
    shifted = replace(pairs, reference=pairs.reference + 3.7)
    torch.testing.assert_close(create("bco").loss(shifted).per_example, create("bco").loss(pairs).per_example)
