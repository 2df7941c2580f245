"""Mixtures of next-token distributions: contrast, product and proxy, as equalities with plain sampling and with tilts."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from suites.decoding.distribution import quantile
from suites.decoding.kinds.contrast import Contrast
from suites.decoding.kinds.product import Product
from suites.decoding.kinds.proxy import Proxy
from suites.decoding.mix import Mix, Part
from suites.decoding.registry import Guess, kinds, register
from suites.generation.decoding import choose
from trainers.tokens.framing import Frame

INSTRUCTION = Guess(frame=Frame("be polite . "))


@pytest.fixture
def logits() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    with_, without = (3 * torch.randn(40, 30, generator=generator) for _ in range(2))
    return with_, without


def uniform(rows: int) -> torch.Tensor:
    return torch.rand(rows, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 0.8), (1.7, 0.3), (0.0, 1.0), (0.0, 0.8)])
def test_kappa_0_is_plain_decoding_with_the_instruction_bit_for_bit(logits, temperature, top_p):
    with_, without = logits
    mix = Contrast(kappa=0.0, temperature=temperature, top_p=top_p).mix(INSTRUCTION)
    u = uniform(40)
    for other in (without, 1e6 * without):
        assert torch.equal(quantile(mix.distribution([with_, other]), u), choose(with_, u, temperature, top_p))


def test_kappa_0_has_the_probabilities_of_plain_decoding_bit_for_bit(logits):
    p = Contrast(kappa=0.0).mix(INSTRUCTION).distribution(logits)
    assert torch.equal(p, torch.softmax(logits[0].double(), -1))


def test_kappa_minus_1_is_plain_decoding_without_the_instruction_within_the_nucleus(logits):
    with_, without = logits
    p = Contrast(kappa=-1.0, top_p=0.8).mix(INSTRUCTION).distribution([with_, without])
    inside = p > 0
    assert torch.equal(p, torch.softmax(without.double(), -1).masked_fill(~inside, 0.0))
    assert inside.sum() < p.numel() and (torch.softmax(with_.double(), -1) * inside).sum(-1).min() >= 0.8


@pytest.mark.parametrize("kappa", [0.5, 2.0, 5.0])
def test_equal_contexts_make_kappa_irrelevant(logits, kappa):
    with_, _ = logits
    p = Contrast(kappa=kappa).mix(INSTRUCTION).distribution([with_, with_])
    torch.testing.assert_close(p, torch.softmax(with_.double(), -1), rtol=1e-9, atol=1e-12)


def test_a_constant_added_to_a_part_changes_nothing(logits):
    with_, without = logits
    mix = Contrast(kappa=2.0, top_p=0.9).mix(INSTRUCTION)
    shifted = without.double() + torch.arange(40.0, dtype=torch.float64)[:, None]
    torch.testing.assert_close(
        mix.distribution([with_, shifted]), mix.distribution([with_, without]), rtol=1e-9, atol=1e-12
    )


def test_a_nucleus_of_which_z_leaves_nothing_is_taken_again(logits):
    """z puts everything on a token that the nucleus excludes."""
    with_ = torch.tensor([[5.0, 4.0, -50.0]])
    without = torch.tensor([[5.0, 3.0, -2000.0]])
    p = Contrast(kappa=5.0, top_p=0.9).mix(INSTRUCTION).distribution([with_, without])
    z = torch.tensor([30.0 - 25.0, 24.0 - 15.0]).double()
    torch.testing.assert_close(p[0, :2], torch.softmax(z, -1))
    assert p[0, 2] == 0


def test_contrast_of_one_slot_is_the_tilt(logits):
    """With conditionals mu e^{s b}/Z in one step, the contrast is mu e^{(1 + kappa) s b}, for any kappa."""
    mu = torch.softmax(logits[0].double(), -1)
    taste, strength, kappa = logits[1].double(), 0.5, 3.0
    conditional = (mu.log() + strength * taste).log_softmax(-1)
    p = Contrast(kappa=kappa).mix(INSTRUCTION).distribution([conditional, mu.log()])
    expected = torch.softmax(mu.log() + (1 + kappa) * strength * taste, -1)
    torch.testing.assert_close(p, expected, rtol=1e-9, atol=1e-12)


def test_opad_multiplies_by_the_ratio_of_the_position_before_too(logits):
    with_, without = (member.double().log_softmax(-1) for member in logits)
    mix = Contrast(kappa=1.0, previous=True).mix(INSTRUCTION)
    first, before = mix.distribution([with_, without]), mix.distribution([with_, without], [without, with_])
    ratio = with_ - without
    torch.testing.assert_close(first, torch.softmax(with_ + ratio, -1), rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(before, torch.softmax(with_ + ratio - ratio, -1), rtol=1e-9, atol=1e-12)


def test_a_product_at_a_corner_is_its_policy_and_in_between_their_weighted_geometric_mean(logits):
    a, b = logits
    corner = Product().mix(Guess(weights={"a": 1.0, "b": 0.0}))
    assert [part.policy for part in corner.parts] == ["a"]
    assert torch.equal(corner.distribution([a]), torch.softmax(a.double(), -1))
    mixed = Product().mix(Guess(weights={"a": 3.0, "b": 1.0})).distribution([a, b])
    geometric = torch.softmax(a.double(), -1) ** 0.75 * torch.softmax(b.double(), -1) ** 0.25
    torch.testing.assert_close(mixed, geometric / geometric.sum(-1, keepdim=True))


def test_a_product_of_taste_policies_is_the_policy_of_the_weights(logits):
    """MOD: policies mu e^{b_k/beta} and weights w give mu e^{sum w_k b_k/beta}."""
    mu, taste = torch.softmax(logits[0].double(), -1), logits[1].double()
    policies = [(mu.log() + sign * taste).log_softmax(-1) for sign in (1.0, -1.0)]
    p = Product().mix(Guess(weights={"up": 0.8, "down": 0.2})).distribution(policies)
    torch.testing.assert_close(p, torch.softmax(mu.log() + 0.6 * taste, -1))


def test_proxy_tuning_without_a_difference_is_the_base(logits):
    a, b = logits
    assert torch.equal(Proxy(alpha=0.0).mix(Guess()).distribution([a, b, 2 * b]), torch.softmax(a.double(), -1))
    torch.testing.assert_close(Proxy().mix(Guess()).distribution([a, b, b]), torch.softmax(a.double(), -1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Contrast(kappa=-2.0), "kappa"),
        (lambda: Contrast(top_p=0.0), "top_p"),
        (lambda: Contrast(temperature=-1.0), "temperature"),
        (lambda: Proxy(alpha=-1.0), "alpha"),
        (lambda: Product(weights={"a": -1.0}), "weights"),
        (lambda: Product().mix(Guess()), "weights"),
        (lambda: Mix(()), "part"),
    ],
)
def test_senseless_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_every_kind_declares_its_facts_and_makes_its_default():
    for name, kind in kinds().items():
        text = kind.__doc__ or ""
        assert all(f"{fact}:" in text for fact in ("Formula", "Source", "From memory", "Cost")), name
        kind()


def test_a_declaration_without_facts_names_its_file():
    with pytest.raises(ValueError, match=r"test_mix\.py.*needs"):
        register("nameless")(type("Nameless", (), {"__module__": __name__}))


def test_greedy_contrast_takes_the_best_of_the_nucleus_of_its_own_temperature():
    with_, without = torch.tensor([[2.0, 1.0, 0.0]]), torch.tensor([[2.0, -3.0, -9.0]])
    mixes = {
        t: Mix((Part("base", coefficient=2.0), Part("base", coefficient=-1.0)), 0, 0.0, 0.6, t) for t in (0.2, 1.0, 9.0)
    }
    chosen = {t: int(mix.distribution([with_, without]).argmax()) for t, mix in mixes.items()}
    assert chosen == {0.2: 0, 1.0: 0, 9.0: 1}
    np.testing.assert_array_equal(mixes[1.0].distribution([with_, without]).sum(-1), [1.0])
