"""NP-DPO: equality with the unconditioned policy, indexing by example, steering, and checkpoints."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from suites.checkpoints import load_causal_lm
from trainers.config import TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import DataError, Pair
from trainers.data.tokenizer import load_tokenizer
from trainers.model.loading import layout_for, load
from trainers.model.logprobs import score
from trainers.model.packing import Layout
from trainers.model.rows import lay_out
from trainers.personal.features import pair_states
from trainers.personal.film import Modulation, by_token, decoder_layers
from trainers.personal.np_dpo import load_steered, train_np_dpo

CONFIG = TrainConfig(learning_rate=1e-2, batch_size=16, optimizer="adamw", max_steps=40, epochs=20)


@pytest.fixture(scope="module")
def model(base):
    return load(base)


@pytest.fixture(scope="module")
def encoded(base, pairs):
    return encode_pairs(pairs[:6], load_tokenizer(base), Limits(64))


@pytest.fixture(scope="module")
def modulation(model):
    modulation = Modulation.of(model, 8)
    generator = torch.Generator().manual_seed(0)
    for parameter in modulation.parameters():
        parameter.data = 0.3 * torch.randn(parameter.shape, generator=generator)
    return modulation.requires_grad_(False)


Z = torch.randn(6, 8, generator=torch.Generator().manual_seed(1))


def steered(model, modulation, rows, z):
    with torch.no_grad(), modulation.on(model, by_token(z, rows)):
        return score(model, rows).logps.view(len(z), 2)


def test_modulation_is_off_at_0_and_before_training(model, encoded, modulation):
    rows = lay_out(encoded, [[n] for n in range(6)], Layout(False, 16, 0))
    plain = score(model, rows).logps.view(-1, 2).detach()
    assert torch.equal(steered(model, modulation, rows, torch.zeros(6, 8)), plain)
    assert torch.equal(steered(model, Modulation.of(model, 8), rows, Z), plain)
    assert (steered(model, modulation, rows, Z) - plain).abs().max() > 1e-2
    assert torch.equal(score(model, rows).logps.view(-1, 2), plain)  # the hooks are gone
    assert len(decoder_layers(model)) == 2


def test_each_example_of_a_packed_row_has_its_own_vector(base, encoded, modulation):
    """Layouts agree: one response a row, examples packed under one mask, and examples one by one in a row."""
    model = load(base)
    alone = lay_out(encoded, [[n] for n in range(6)], Layout(False, 16, 0))
    expected = steered(model, modulation, alone, Z)
    masked = lay_out(encoded, [[4, 0, 2], [5, 1, 3]], Layout(True, 16, 1000))
    order = [4, 0, 2, 5, 1, 3]
    torch.testing.assert_close(steered(model, modulation, masked, Z[order]), expected[order], rtol=0, atol=1e-4)
    layout = layout_for(model, encoded.longest(), 1000)
    assert layout.attention == "by_example"
    single = lay_out(encoded, [order], layout)
    torch.testing.assert_close(steered(model, modulation, single, Z[order]), expected[order], rtol=0, atol=1e-4)


@pytest.fixture(scope="module")
def opposite(pairs):
    """Pairs of two users, each prompt with opposite labels."""
    swapped = [Pair(f"{pair.id}-b", pair.prompt, pair.rejected, pair.chosen) for pair in pairs]
    both = [pair for pair, other in zip(pairs, swapped, strict=True) for pair in (pair, other)]
    return both, np.arange(len(both)) % 2


@pytest.fixture(scope="module")
def checkpoint(base, opposite, tmp_path_factory):
    out = tmp_path_factory.mktemp("np") / "policy"
    both, owners = opposite
    return train_np_dpo(base, both, owners, CONFIG, out, beta=0.5, width=16)


def test_a_step_begins_at_the_base_and_a_context_steers_the_end(base, opposite, checkpoint):
    both, owners = opposite
    margins = [value for _, name, value in checkpoint.curve if name == "margin"]
    assert abs(margins[0]) < 1e-5
    policy, standard = load_steered(checkpoint.checkpoint)
    model = load(base)
    features = standard(pair_states(model, load_tokenizer(base), both))
    contexts = [np.flatnonzero(owners == user)[:6] for user in (0, 1)] + [np.array([], np.int64)]
    z = policy.vectors(features, contexts)
    assert (z[2] == 0).all()
    rest = encode_pairs(both[20:60:2], load_tokenizer(base), Limits(64))  # user 0's
    rows = lay_out(rest, [[n] for n in range(20)], Layout(False, 16, 0))
    reference = score(model, rows).logps.view(-1, 2)
    ratios = [steered(policy.model, policy.steering.modulation, rows, v.expand(20, -1)) - reference for v in z]
    first, second, nobody = ((ratio[:, 0] - ratio[:, 1]).mean().item() for ratio in ratios)
    assert first > nobody > second and first > 0.5 and second < -0.5


def test_a_steered_checkpoint_cannot_be_used_without_a_context(base, checkpoint):
    for loader in (load, load_causal_lm):
        with pytest.raises(ValueError, match=r"is steered by a context of pairs \(steering.safetensors\)"):
            loader(checkpoint.checkpoint)
    with pytest.raises(ValueError, match="no policy that is conditioned on contexts"):
        load_steered(base)


def test_bad_input_is_named(base, pairs, tmp_path):
    with pytest.raises(DataError, match="user 0: has no pairs"):
        train_np_dpo(base, pairs[:2], np.array([1, 1]), CONFIG, tmp_path / "out")
    long = replace(pairs[0], id="long", chosen=" w1" * 70)
    with pytest.raises(DataError, match="pair long: longer than the context of 64 tokens"):
        train_np_dpo(base, [long], np.array([0]), CONFIG, tmp_path / "out")
