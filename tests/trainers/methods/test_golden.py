"""Values computed by hand on one pair.

The pair: ℓ = (−3, −5), ℓ_ref = (−4, −4), n = (6, 5), R = (0.8, 0.2), V = 0.5. Hence ρ = (1, −1), Δ = 2,
ℓ̄ = (−0.5, −1), per-token ratios (1/6, −1/5), ΔR = 0.6. L(z) = log(1 + e^−z); L(0.1) = 0.644397, L(0.2) = 0.598139,
L(−0.2) = 0.798139, L(1) = 0.313262, L(−1) = 1.313262; σ(1) = 0.731059.
"""

from __future__ import annotations

import pytest
import torch

from trainers.methods import create
from trainers.methods.interface import MethodBatch, Tokens

PAIR = {
    "logps": [[-3.0, -5.0]],
    "lengths": [[6.0, 5.0]],
    "desirable": [[True, False]],
    "reference": [[-4.0, -4.0]],
    "rewards": [[0.8, 0.2]],
    "values": [0.5],
    "embeddings": [[1.0, 0.0]],
}


def loss_of(name, parameters=(), **given) -> list[float]:
    fields = {key: torch.tensor(value) for key, value in {**PAIR, **given}.items()}
    return create(name, **dict(parameters)).loss(MethodBatch(**fields, step=1000)).per_example.tolist()


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("sft", {}, 0.5),  # −ℓ̄_w
        ("sft", {"average": False}, 3.0),  # −ℓ_w
        ("dpo", {}, 0.598139),  # L(0.1·2)
        ("cdpo", {}, 0.638139),  # 0.8·L(0.2) + 0.2·L(−0.2)
        ("rdpo", {}, 0.573139),  # (0.9·L(0.2) − 0.1·L(−0.2))/0.8
        ("rosepo", {}, 0.669008),  # ε = σ(−0.6) = 0.354344: L(0.2) + ε·0.2
        ("ipo", {}, 21.467778),  # (11/30 − 5)²
        ("ipo", {"average": False}, 9.0),  # (2 − 5)²
        ("rso_sigmoid", {}, 0.644397),  # L(0.05·2)
        ("rso_hinge", {}, 0.9),  # 1 − 0.05·2
        ("slic", {}, 0.3),  # max(0, 1 + 3 − 5) + 0.1·3
        ("simpo", {}, 0.693147),  # L(2·(0.5 − 0.5))
        ("simpo", {"margin_ratio": 0.1}, 0.371101),  # L(0.8)
        ("cpo", {}, 1.098139),  # L(0.1·2) + 0.5
        ("orpo", {}, 0.532030),  # odds 0.432752 and −0.541325: 0.5 + 0.1·L(0.974077) = 0.5 + 0.1·0.320300
        ("minor_dpo", {}, 0.644397),  # ρ_l < 0: L(0.1·1)
        ("exo", {"epsilon": 0.1}, 0.114082),  # z = 1: σ(1)(−0.313262 + 0.105361) + σ(−1)(−1.313262 + 2.302585)
        ("exo_reward", {}, 0.003809),  # q = σ(1), p = σ(1.2): q·log(q/p) + (1−q)·log((1−q)/(1−p))
        ("nca", {"beta": 1.0}, 1.126523),  # L(1) + ½L(−1) + ½L(1)
        ("nca_reward", {"beta": 1.0, "alpha": 1.0}, 1.480867),  # p = σ(0.6): p·L(1) + (1−p)·L(−1) + ½(L(−1) + L(1))
        ("infonca", {"beta": 1.0, "alpha": 1.0}, 0.835615),  # p·L(2) + (1−p)·L(−2), L(2) = 0.126928
        ("odpo", {}, 0.399607),  # log 0.6 = −0.510826: L(0.710826)
        ("modpo", {}, 0.798139),  # (0.2 − 0.3)/0.5 = −0.2
        ("rrhf", {}, 3.0),  # in order: −ℓ_w
        ("dro_v", {}, 0.245),  # (½(0.3 − 1)² + ½(−0.3 + 1)²)/2
        ("a_lol", {}, 0.945),  # ratio min(e, 1.9): (1.9·0.3·3 + 0)/2 + (0.09 + 0.09)/2
        ("a_lol_ref_free", {}, 0.54),  # 0.3·3/2 + 0.09
        ("ada_dpo", {"beta": 0.5, "tau_min": 0.5, "tau_max": 0.5}, 0.063464),  # z = 1, τ = ½: ½·L(2)
        ("rpo", {}, 0.598139),  # one pair has weight 1: L(0.2)
        ("bco", {}, 0.644397),  # βρ = ±0.1 with mean δ = 0: L(0.1) twice
        ("sppo", {"beta": 0.25}, 2.0),  # targets ±2: (1 − 2)² + (−1 + 2)²
        ("apo_zero", {"beta": 1.0}, 0.268941),  # 1 − σ(1) and σ(−1)
        ("apo_down", {"beta": 1.0}, 0.850262),  # σ(1) + 1 − σ(2), σ(2) = 0.880797
        ("dpo_norm", {"beta": 1.0}, 0.526526),  # L(1/6 + 1/5)
        ("dpo_nll", {}, 1.098139),  # L(0.2) + 0.5
        ("f_dpo", {"beta": 1.0}, 0.313262),  # log σ(1) − log σ(−1) = 1: L(1)
        ("f_dpo", {"beta": 1.0, "divergence": "forward_kl"}, 0.091056),  # e − 1/e = 2.350402
        ("f_dpo", {"beta": 1.0, "divergence": "alpha"}, 0.117236),  # 2(e^½ − e^−½) = 2.084381
        ("discopop", {}, 0.873793),  # z = 0.1, m = σ(2): 0.119203·L(0.1) + 0.880797·e^−0.1
        ("r_dpo", {}, 0.593650),  # L(0.2 + 0.01·1)
        ("alpha_po", {"beta": 1.0, "margin_ratio": 0.0, "alpha": 0.5}, 0.393529),  # 2(e^½ − e^¼) = 0.729392
        ("cpo_simpo", {"margin_ratio": 0.1}, 0.396101),  # L(0.8) + 0.05·0.5
        ("hypo", {}, 0.598139),  # the reference's gap is 0: L(0.1·2)
    ],
)  # fmt: skip
def test_one_pair(name, parameters, expected):
    assert loss_of(name, parameters) == [pytest.approx(expected, abs=2e-6)]


def test_minor_dpo_with_the_gate_open():
    """ρ_l = +3: L(0.1·(1 − 3)) = L(−0.2)."""
    assert loss_of("minor_dpo", reference=[[-4.0, -8.0]]) == [pytest.approx(0.798139, abs=2e-6)]


@pytest.mark.parametrize(("name", "margins"), [("dpo", [0.2, -0.2, 0.0]), ("minor_dpo", [0.1, -0.2, 0.0])])
def test_a_pairs_margin_and_whether_it_is_ranked_right(name, margins):
    """ρ = (1, −1), (−1, 1) and (0, 0), β = 0.1; a tie is not ranked right. Minor DPO's gate: shut, open, shut."""
    given = {key: torch.tensor(value * 3) for key, value in PAIR.items()}
    given["logps"] = given["reference"] + torch.tensor([[1.0, -1.0], [-1.0, 1.0], [0.0, 0.0]])
    metrics = create(name).loss(MethodBatch(**given)).metrics
    assert metrics["margin"].tolist() == pytest.approx(margins)
    assert metrics["accuracy"].tolist() == [1, 0, 0]
    if name == "minor_dpo":
        assert metrics["gate_open"].tolist() == [0, 1, 0]


def test_hypo_ignores_a_reference_that_ranks_wrong():
    """Reference gaps −2 and 2: the logit is 0.1·2 in the first and 0.1·(2 − 2) in the second."""
    assert loss_of("hypo", reference=[[-6.0, -4.0]]) == [pytest.approx(0.598139, abs=2e-6)]
    assert loss_of("hypo", reference=[[-4.0, -6.0]]) == [pytest.approx(0.693147, abs=2e-6)]


def test_bco_shifts_by_the_mean_reward_of_the_batch():
    """βρ = 0.2 (desirable) and −0.4 (undesirable), δ = −0.1: L(0.3) = 0.554355, twice.

    Unpaired, βρ = 0.2, 0.2 and −0.1 with δ = 0.1: L(0.1), L(0.1) and L(0.2).
    """
    assert loss_of("bco", reference=[[-5.0, -1.0]]) == [pytest.approx(0.554355, abs=2e-6)]
    singles = {"logps": [[-2.0], [-3.0], [-5.0]], "reference": [[-4.0], [-5.0], [-4.0]], "lengths": [[1.0]] * 3}
    losses = loss_of("bco", desirable=[[True], [True], [False]], **singles)
    assert losses == pytest.approx([0.644397, 0.644397, 0.598139], abs=2e-6)


def test_aot_compares_ranks():
    """Policy gaps 2, −1, 5 have ranks 1, 0, 2; the reference's gaps 1, 3, −2 in order: −2, 1, 3.

    β = 1: z = 2 − 1, −1 + 2, 5 − 3 = 1, 1, 2: L = 0.313262, 0.313262, 0.126928.
    """
    three = {"logps": [[2.0, 0.0], [-1.0, 0.0], [5.0, 0.0]], "reference": [[1.0, 0.0], [3.0, 0.0], [-2.0, 0.0]]}
    three |= {"desirable": [[True, False]] * 3, "lengths": [[1.0, 1.0]] * 3}
    assert loss_of("aot", {"beta": 1.0}, **three) == pytest.approx([0.313262, 0.313262, 0.126928], abs=2e-6)


def test_unpaired_aot_of_unequal_classes():
    """ρ = 3, 1 desirable and 0, 1, −1 undesirable, β = 1. Couplings: (1, −1): ⅓, (1, 0): ⅙, (3, 0): ⅙, (3, 1): ⅓.

    L(2)/3 + L(1)/6 for the second example and L(3)/6 + L(2)/3 for the first, times 5 examples; L(2) = 0.126928,
    L(1) = 0.313262, L(3) = 0.048587.
    """
    fields = {"logps": [[3.0], [1.0], [0.0], [1.0], [-1.0]], "reference": [[0.0]] * 5, "lengths": [[1.0]] * 5}
    losses = loss_of("aot_unpaired", {"beta": 1.0}, desirable=[[True], [True], [False], [False], [False]], **fields)
    expected = [5 * (0.048587 / 6 + 0.126928 / 3), 5 * (0.126928 / 3 + 0.313262 / 6), 0, 0, 0]
    assert losses == pytest.approx(expected, abs=1e-5)


def test_ld_dpo_counts_the_tail_for_less():
    """Log-ratios (1, 1, 1) and (−1): one shared token, so ρ̃_w = 1 + α·2 = 2 at α = ½; L(0.1·(2 + 1)) = L(0.3)."""
    mask = torch.tensor([[[True, True, True], [True, False, False]]])
    logps, zeros = torch.tensor([[[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]]]), torch.zeros(1, 2, 3)
    batch = MethodBatch(
        logps.sum(-1), mask.sum(-1).float(), torch.tensor([[True, False]]), zeros.sum(-1),
        tokens=Tokens(logps, mask, zeros),
    )  # fmt: skip
    assert create("ld_dpo").loss(batch).per_example.item() == pytest.approx(0.554355, abs=2e-6)


def test_wpo_weighs_a_pair_by_its_likelihood():
    """log π − log Σπ² = (0, −0.4) and (−0.2): log w = −0.2 for either response, the pair counts e^−0.4 = 0.670320.

    β = 0.1 and Δ = −1.4 + 2 = 0.6 with a reference of −1.4 and −2.8: 0.670320·L(0.06) = 0.670320·0.663597.
    """
    mask = torch.tensor([[[True, True], [True, False]]])
    logps = torch.tensor([[[-0.6, -0.8], [-2.2, 0.0]]])
    collision = torch.tensor([[[-0.6, -0.4], [-2.0, 0.0]]])
    batch = MethodBatch(
        logps.sum(-1), mask.sum(-1).float(), torch.tensor([[True, False]]), torch.tensor([[-1.4, -1.6]]),
        tokens=Tokens(logps, mask, collision=collision),
    )  # fmt: skip
    loss = create("wpo").loss(batch)
    assert loss.metrics["weight"].item() == pytest.approx(0.670320, abs=1e-6)
    assert loss.per_example.item() == pytest.approx(0.670320 * 0.663597, abs=2e-6)


def test_rosepo_smooths_by_the_rewards():
    """T = 0.3: ε = σ(−0.6/0.3) = 0.119203, L(0.2) + 0.2·ε = 0.621980. Contradicted: ε = ½, not σ(2)."""
    assert loss_of("rosepo", {"temperature": 0.3}) == [pytest.approx(0.621980, abs=2e-6)]
    assert loss_of("rosepo", {"temperature": 0.3}, rewards=[[0.2, 0.8]]) == [pytest.approx(0.698139, abs=2e-6)]


def test_nca_logs_the_gap_of_its_two_sides():
    fields = {key: torch.tensor(value) for key, value in PAIR.items()}
    assert create("nca", beta=1.0).loss(MethodBatch(**fields)).metrics["margin"].item() == 2


def test_rrhf_ranks_the_wrong_way_round():
    """R = (0.2, 0.8): max(0, −0.5 + 1) = 0.5, and the best is the second, −ℓ = 5. Tied: no ranking, the first."""
    assert loss_of("rrhf", rewards=[[0.2, 0.8]]) == [pytest.approx(5.5)]
    assert loss_of("rrhf", rewards=[[0.5, 0.5]]) == [pytest.approx(3.0)]


def test_rrhf_of_three():
    """ℓ̄ = (−1, −2, −3), R = (0, 1, 2): every order is wrong, by 1, 1 and 2; best is the third, ℓ = −6."""
    pair = {"logps": [[-2.0, -4.0, -6.0]], "lengths": [[2.0, 2.0, 2.0]], "desirable": [[True, False, False]]}
    assert loss_of("rrhf", rewards=[[0.0, 1.0, 2.0]], **pair) == [pytest.approx(4 + 6)]


def test_odpo_drops_what_rewards_contradict():
    """R = (0.2, 0.8) and a tie give 0, without a gradient; the agreeing pair as before."""
    triple = {key: value * 3 for key, value in PAIR.items()} | {"rewards": [[0.2, 0.8], [0.5, 0.5], [0.8, 0.2]]}
    fields = {key: torch.tensor(value) for key, value in triple.items()}
    fields["logps"].requires_grad_()
    loss = create("odpo").loss(MethodBatch(**fields))
    loss.per_example.mean().backward()
    assert loss.per_example.tolist() == [0, 0, pytest.approx(0.399607, abs=2e-6)]
    assert loss.metrics["dropped"].tolist() == [1, 1, 0]
    assert fields["logps"].grad[:2].abs().sum() == 0 and fields["logps"].grad[2, 0] < 0


@pytest.mark.parametrize(("anchor", "extra"), [("hinge", 0.5), ("absolute", 0.5), ("square", 0.25)])
def test_bapo_anchor(anchor, extra):
    """ℓ(y_b) = −6, ℓ_ref = −4, n = 4: it fell by 0.5 a token. DPO's 0.598139 and the anchor."""
    third = {"logps": [[-3.0, -5.0, -6.0]], "reference": [[-4.0, -4.0, -4.0]], "lengths": [[6.0, 5.0, 4.0]]}
    assert loss_of("bapo", {"anchor": anchor}, **third) == [pytest.approx(0.598139 + extra, abs=2e-6)]


@pytest.mark.parametrize(("anchor", "extra"), [("hinge", 0.0), ("absolute", 0.5), ("square", 0.25)])
def test_bapo_hinge_lets_the_base_response_rise(anchor, extra):
    """ℓ(y_b) = −2: it rose by 0.5 a token, which the log shows as +0.5."""
    third = {"logps": [[-3.0, -5.0, -2.0]], "reference": [[-4.0, -4.0, -4.0]], "lengths": [[6.0, 5.0, 4.0]]}
    fields = {key: torch.tensor(value) for key, value in {**PAIR, **third}.items()}
    loss = create("bapo", anchor=anchor).loss(MethodBatch(**fields))
    assert loss.per_example.item() == pytest.approx(0.598139 + extra, abs=2e-6)
    assert loss.metrics["base_log_ratio"].item() == 0.5


def test_rpo_weights_neighbours_by_similarity():
    """Two equal pairs with orthogonal prompts, τ = 0.5: ω = 1/(1 + e^−2) = 0.880797 for its own, 0.119203 else.

    In the logit: (L(0.2·0.880797) + L(0.2·0.119203))/2 = (0.608941 + 0.681298)/2 = 0.645120; on the losses
    0.880797·L(0.2) + 0.119203·L(0.2) = 0.598139.
    """
    two = {key: value * 2 for key, value in PAIR.items()} | {"embeddings": [[1.0, 0.0], [0.0, 2.0]]}
    assert loss_of("rpo", **two) == [pytest.approx(0.645120, abs=2e-6)] * 2
    assert loss_of("rpo", {"weighting": "losses"}, **two) == [pytest.approx(0.598139, abs=2e-6)] * 2


def test_alpha_dpo_standardises_the_gap():
    """Three pairs with ℓ = (−4, −4) and n = (2, 4), so ℓ̄_w − ℓ̄_l = −2 + 1 = −1. β = 1, m = 0, α = 0.5.

    ρ = (6, 4), (8, 16), (10, 4); per token (3, 1), (4, 4), (5, 1); Δ̄ = 2, 0, 4 with mean 2 and unbiased deviation
    √(8/2) = 2, so M* = 0, −1, 1 and the logits are −1, −0.5, −1.5: L = 1.313262, 0.974077, 1.701413.
    """
    fields = {
        "logps": [[-4.0, -4.0]] * 3, "lengths": [[2.0, 4.0]] * 3, "desirable": [[True, False]] * 3,
        "reference": [[-10.0, -8.0], [-12.0, -20.0], [-14.0, -8.0]],
    }  # fmt: skip
    fields = {key: torch.tensor(value) for key, value in fields.items()}
    losses = create("alpha_dpo", beta=1.0, margin_ratio=0.0, alpha=0.5).loss(MethodBatch(**fields)).per_example
    assert losses.tolist() == pytest.approx([1.313262, 0.974077, 1.701413], abs=2e-6)


def test_mrpo_clips_and_mixes():
    """Initial (−4, −4), extra (−5, −2), η = 0.1. Mean sizes 4.5 and 3: s = 0.6, 0.4, so η_w = 0.06, η_l = 0.04.

    Clipped extra (−4.24, −3.84). Equal weights: ℓ̃_w = −log(½e⁴ + ½e^4.24) = −4.127183,
    ℓ̃_l = −log(½e⁴ + ½e^3.84) = −3.923197. Logit 0.1·[(−3 + 4.127183) − (−5 + 3.923197)] = 0.220399:
    L = 0.589008.
    """
    two = {"references": [[[-4.0, -4.0]], [[-5.0, -2.0]]]}
    assert loss_of("mrpo", {"weighting": "equal"}, **two) == [pytest.approx(0.589008, abs=2e-6)]


@pytest.mark.parametrize(("weighting", "weight"), [("less_confident", 0.25), ("more_confident", 0.75)])
def test_mrpo_weights_by_confidence(weighting, weight):
    """Gaps of 1 (initial) and 3 (extra): the extra reference has ¼ in the code's reading and ¾ in the other."""
    fields = {key: torch.tensor(value) for key, value in PAIR.items()}
    batch = MethodBatch(**fields, references=torch.tensor([[[-4.0, -5.0]], [[-3.0, -6.0]]]))
    metrics = create("mrpo", weighting=weighting).loss(batch).metrics
    assert metrics["extra_weight"].item() == pytest.approx(weight)


GOLD = {"logps": [[-3.0, -5.0, -6.0]], "lengths": [[6.0, 5.0, 4.0]], "desirable": [[True, False, False]]}


def test_tpo_imitates_the_gold_response():
    """ℓ̄_g = −1.5 and ℓ_w − ℓ_l = 2: L(0.02) + 1.5; per token with β = 2 and γ = 0.4: L(2·0.5 − 0.4) + 1.5."""
    assert loss_of("tpo", **GOLD) == [pytest.approx(0.683197 + 1.5, abs=2e-6)]
    averaged = {"beta": 2.0, "average": True, "margin": 0.4}
    assert loss_of("tpo", averaged, **GOLD) == [pytest.approx(0.437488 + 1.5, abs=2e-6)]


def test_mopo_raises_the_multiplier_of_a_missed_bound():
    """ρ = (1, −1) weighs the responses by σ(±2), so that p = ½ ± ½·tanh 1 = 0.880797 and 0.119203 for s = (1, −1).

    κ = 1, τ = ½, b = ½: λ = (0, 0.380797), target 1 − 0.380797, (2 − 0.619203)². With b = 0 the target is 1.
    """
    labels = {"objective_rewards": [[[0.8, 0.1], [0.2, 0.4]]]}
    settings = {"tau": 0.5, "penalty": 1.0}
    assert loss_of("mopo", settings, **labels) == [pytest.approx(1.906600, abs=2e-6)]
    assert loss_of("mopo", settings | {"bound": 0.0}, **labels) == [pytest.approx(1.0, abs=2e-6)]


def test_humanline_clamps_tokens():
    """Log-ratios (0.5, 2) and (−3) become (0.5, 1.5) and (−1): L(0.1·(2 + 1)) = L(0.3); one token of three is free."""
    mask = torch.tensor([[[True, True], [True, False]]])
    logps, zeros = torch.tensor([[[0.5, 2.0], [-3.0, 0.0]]]).requires_grad_(), torch.zeros(1, 2, 2)
    batch = MethodBatch(
        logps.sum(-1), mask.sum(-1).float(), torch.tensor([[True, False]]), zeros.sum(-1),
        tokens=Tokens(logps, mask, zeros),
    )  # fmt: skip
    loss = create("humanline").loss(batch)
    assert loss.per_example.item() == pytest.approx(0.554355, abs=2e-6)
    assert loss.metrics["unclamped"].item() == pytest.approx(1 / 3)
    loss.per_example.sum().backward()
    assert (logps.grad != 0).tolist() == [[[True, False], [False, False]]]
