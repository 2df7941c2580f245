"""Encoder of contexts and conditional rewards: invariances, the empty context, opposite users."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainers.data.rows import DataError
from trainers.personal.context import ContextEncoder, drawn_contexts, padded_contexts
from trainers.personal.features import Standardisation
from trainers.personal.np_btl import (
    NeuralReward,
    NeuralRewardFit,
    fit_neural_reward,
    gaussian_kl,
    load_neural_reward,
    rewards_of_contexts,
    save_neural_reward,
)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ContextEncoder(4, 16)


@pytest.fixture(scope="module")
def features():
    return np.random.default_rng(0).normal(size=(20, 2, 4))


def encode(encoder, features, *contexts):
    with torch.no_grad():
        return encoder(*padded_contexts(features, [np.array(context, np.int64) for context in contexts]))


def test_order_padding_and_other_contexts_do_not_matter(encoder, features):
    z = encode(encoder, features, [3, 5, 8])[0]
    assert z.abs().max() > 1e-3
    torch.testing.assert_close(encode(encoder, features, [8, 3, 5])[0], z, rtol=0, atol=1e-6)
    batch = encode(encoder, features, [1], [3, 5, 8], list(range(10)), [])
    torch.testing.assert_close(batch[1], z, rtol=0, atol=1e-6)
    assert not torch.allclose(batch[0], z, atol=1e-3)


def test_an_empty_context_is_exactly_0_whatever_the_weights(encoder, features):
    batch = encode(encoder, features, [], [1, 2])
    assert (batch[0] == 0).all() and batch.isfinite().all()
    assert (encode(encoder, features, []) == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(0, 99))
def test_a_context_holds_other_pairs_of_the_same_user(owners, seed):
    owners = np.array(owners)
    targets = np.arange(len(owners))
    for target, context in zip(targets, drawn_contexts(owners, targets, np.random.default_rng(seed)), strict=True):
        assert target not in context and (owners[context] == owners[target]).all()
        assert len(set(context.tolist())) == len(context) <= 8


def opposite_users(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of two users, one of whom likes what the other dislikes."""
    rng = np.random.default_rng(0)
    features, owners = rng.normal(size=(n, 2, 3)), np.arange(n) % 2
    wrong = (features[:, 0, 0] > features[:, 1, 0]) != (owners == 0)
    features[wrong] = features[wrong][:, ::-1]
    return features, owners


def test_a_context_tells_two_opposite_users_apart():
    features, owners = opposite_users(400)
    fit = NeuralRewardFit(width=16, steps=100, batch=32, learning_rate=1e-2)
    reward = fit_neural_reward(features, owners, fit)
    contexts = [np.flatnonzero(owners == user)[:6] for user in (0, 1)]
    z, _ = reward.latent(*padded_contexts(features, [*contexts, np.array([], np.int64)]))
    table = torch.from_numpy(features[100:].astype(np.float32))
    margins = torch.stack([(r := reward(table, vector.expand(300, -1)))[:, 0] - r[:, 1] for vector in z])
    mine = torch.from_numpy(owners[100:] == 0)
    matrix = torch.stack([torch.stack([(row[of] > 0).float().mean() for of in (mine, ~mine)]) for row in margins])
    assert matrix[0, 0] > 0.85 and matrix[1, 1] > 0.85 and matrix[0, 1] < 0.2 and matrix[1, 0] < 0.2
    # Without a context the two cancel: right for one is wrong for the other.
    assert abs(float(matrix[2].sum()) - 1.0) < 0.25


def test_a_variational_reward_has_the_prior_without_a_context_and_moves_from_it_with_one():
    features, owners = opposite_users(60)
    reward = fit_neural_reward(features, owners, NeuralRewardFit(width=8, steps=5, batch=8, kl=0.1))
    mean, log_variance = reward.latent(*padded_contexts(features, [np.array([], np.int64), np.array([0, 2])]))
    penalty = gaussian_kl(mean, log_variance)
    assert penalty[0] == 0 and penalty[1] > 0


def test_equal_seeds_give_equal_rewards():
    features, owners = opposite_users(40)
    first, second = (fit_neural_reward(features, owners, NeuralRewardFit(width=8, steps=3), seed=1) for _ in range(2))
    for name, tensor in first.state_dict().items():
        torch.testing.assert_close(tensor, second.state_dict()[name], rtol=0, atol=0)
    assert isinstance(first, NeuralReward)


def test_a_reward_is_saved_with_its_features_scale(tmp_path):
    features, owners = opposite_users(40)
    standard = Standardisation.of(features)
    for kl in (None, 0.1):
        reward = fit_neural_reward(standard(features), owners, NeuralRewardFit(width=8, steps=2, kl=kl))
        save_neural_reward(tmp_path, reward, standard)
        loaded, scale = load_neural_reward(tmp_path)
        contexts = [np.array([0, 2]), np.array([], np.int64)]
        tables = [rewards_of_contexts(one, standard(features), contexts, scale(features)) for one in (reward, loaded)]
        np.testing.assert_array_equal(*tables)
        assert tables[0].shape == (2, 40, 2) and np.ptp(tables[0]) > 0


def test_a_user_without_pairs_is_named(features):
    with pytest.raises(DataError, match="user 1: has no pairs"):
        fit_neural_reward(features[:2], np.array([0, 2]), NeuralRewardFit(width=8, steps=1))


def test_a_width_that_the_heads_do_not_divide_is_named():
    with pytest.raises(ValueError, match="width must be a multiple of 8, not 12"):
        ContextEncoder(4, 12)
