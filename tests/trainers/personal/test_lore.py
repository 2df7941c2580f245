"""LoRe: equalities with Bradley-Terry, invariances, and recovery of users' rewards."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn.functional import logsigmoid

from trainers.data.rows import DataError
from trainers.personal.lore import LoRe, adapt_lore, fit_lore, lore_loss

USERS, SIZE, PAIRS = 6, 4, 12_000


@pytest.fixture(scope="module")
def world():
    """Users whose rewards are convex combinations of the features and their opposites, and their noisy pairs."""
    rng = np.random.default_rng(0)
    tastes = np.concatenate([np.eye(SIZE), -np.eye(SIZE)]) * 4.0
    truth = rng.dirichlet(np.full(len(tastes), 0.3), USERS) @ tastes
    owners = np.arange(PAIRS) % USERS
    differences = rng.normal(size=(PAIRS, SIZE))
    won = rng.random(PAIRS) < 1 / (1 + np.exp(-(differences * truth[owners]).sum(1)))
    return truth, owners, np.where(won[:, None], differences, -differences)


def test_one_basis_is_bradley_terry_gradient_included(world):
    _, owners, differences = world
    data, users = torch.from_numpy(differences), torch.from_numpy(owners)
    reward = torch.randn(SIZE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    bases, logits = reward[:, None].clone().requires_grad_(), torch.randn(USERS, 1).double().requires_grad_()
    alone = reward.clone().requires_grad_()
    loss = lore_loss(bases, logits, data, users, 0.0)
    bradley_terry = -logsigmoid(data @ alone).mean()
    torch.testing.assert_close(loss, bradley_terry, rtol=0, atol=1e-15)
    loss.backward(), bradley_terry.backward()
    torch.testing.assert_close(bases.grad[:, 0], alone.grad, rtol=0, atol=1e-15)
    assert logits.grad.abs().max() == 0
    fitted = fit_lore(differences, owners, rank=1)
    optimum = torch.from_numpy(fitted.bases[:, 0]).requires_grad_()
    (gradient,) = torch.autograd.grad(-logsigmoid(data @ optimum).mean() + 5e-4 * optimum.square().sum(), optimum)
    assert gradient.abs().max() < 1e-4


def test_the_order_of_bases_and_a_constant_of_each_prompt_do_not_matter(world):
    _, owners, differences = world
    data, users, generator = torch.from_numpy(differences), torch.from_numpy(owners), torch.Generator().manual_seed(1)
    bases, logits = (torch.randn(n, 3, generator=generator, dtype=torch.float64) for n in (SIZE, USERS))
    order = [2, 0, 1]
    torch.testing.assert_close(
        lore_loss(bases, logits, data, users, 0.1), lore_loss(bases[:, order], logits[:, order], data, users, 0.1)
    )
    chosen, rejected = np.random.default_rng(0).normal(size=(2, PAIRS, SIZE))
    shifted = (chosen + 7.0) - (rejected + 7.0)
    np.testing.assert_allclose(
        fit_lore(shifted, owners, 2).bases, fit_lore(chosen - rejected, owners, 2).bases, atol=1e-3
    )


def test_features_that_carry_the_reward_recover_every_user_s(world):
    truth, owners, differences = world
    lore = fit_lore(differences, owners, rank=8)
    np.testing.assert_allclose(lore.weights.sum(1), 1.0, rtol=1e-12)
    assert (lore.weights >= 0).all()
    features = np.random.default_rng(1).normal(size=(500, SIZE))
    for reward, weights in zip(truth, lore.weights, strict=True):
        assert np.corrcoef(features @ reward, lore.reward(features, weights))[0, 1] > 0.99


def test_a_new_user_moves_from_the_mean_weights_to_the_user_s_own(world):
    truth, owners, differences = world
    lore = fit_lore(differences, owners, rank=8)
    features = np.random.default_rng(1).normal(size=(500, SIZE))
    mean = adapt_lore(lore, differences[:0], owners[:0], USERS)
    np.testing.assert_array_equal(mean, np.tile(lore.weights.mean(0), (USERS, 1)))

    def agreement(n: int) -> float:
        """Mean correlation of the rewards with the truth after n pairs of each user."""
        fitted = adapt_lore(lore, differences[: n * USERS], owners[: n * USERS], USERS)
        correlations = [
            np.corrcoef(features @ r, lore.reward(features, w))[0, 1] for r, w in zip(truth, fitted, strict=True)
        ]
        return float(np.mean(correlations))

    assert agreement(2) < agreement(16) < agreement(1000) and agreement(1000) > 0.98


def test_users_are_fitted_as_they_are_alone(world):
    _, owners, differences = world
    lore = fit_lore(differences, owners, rank=4)
    together = adapt_lore(lore, differences[:24], owners[:24], USERS)
    for user in range(2):
        mine = owners[:24] == user
        alone = adapt_lore(lore, differences[:24][mine], [0] * mine.sum(), 1)
        np.testing.assert_allclose(together[user], alone[0], atol=1e-3)


def test_a_user_without_pairs_is_named():
    with pytest.raises(DataError, match="user 1: has no pairs"):
        fit_lore(np.ones((2, 3)), [0, 2], rank=2)


def test_two_users_who_contradict_each_other_cancel_in_one_basis_and_not_in_two():
    differences = np.tile([[1.0], [-1.0]], (100, 1))
    owners = np.tile([0, 1], 100)
    assert abs(fit_lore(differences, owners, 1).bases).max() < 1e-3
    lore = fit_lore(differences, owners, 2)
    rewards = [float(lore.reward(np.ones(1), weights)) for weights in lore.weights]
    assert rewards[0] > 1 and rewards[1] < -1
    assert isinstance(lore, LoRe)
