"""Population of users: reproducible, today's world as a special case, and a Bayes-optimal few-shot policy."""

from __future__ import annotations

import numpy as np
import pytest

from suites.oracle.population import (
    TASTES,
    Population,
    PopulationSpec,
    Prior,
    label_agreement,
    pairs_of,
    taste_tables,
)
from suites.oracle.truth import tilt
from suites.oracle.world import World, WorldSpec
from tests.suites.oracle.test_world import everything


@pytest.fixture(scope="module")
def population(world) -> Population:
    return Population.build(world, PopulationSpec(seen=6, unseen=4, signed=True))


def test_a_population_leaves_its_world_as_it_is():
    before = everything(World.build(WorldSpec(seed=3)))
    world = World.build(WorldSpec(seed=3))
    population = Population.build(world, PopulationSpec(seen=3, unseen=2))
    population.pairs(30)
    population.contexts()
    assert everything(population.world) == before


@pytest.mark.parametrize("seed", [0, 5])
def test_one_user_with_the_world_s_utility_gives_the_world_s_pairs(world, seed):
    rows = pairs_of({"anyone": world}, [200], seed)
    assert {row.pop("user") for row in rows} == {"anyone"}
    assert rows == world.pairs(200, seed)


def test_same_spec_gives_the_same_users_and_pairs_and_another_seed_others(world):
    first, again, other = (Population.build(world, PopulationSpec(seen=4, unseen=2, seed=seed)) for seed in (0, 0, 1))
    assert first.pairs(40) == again.pairs(40) and first.contexts() == again.contexts()
    assert not np.allclose(first.weights, other.weights)


def test_tastes_have_mean_0_and_variance_1_for_every_prompt(world):
    tastes = taste_tables(world)
    assert len(tastes) == len(PopulationSpec().tastes) == 4
    np.testing.assert_allclose((world.mu * tastes).sum(axis=2), 0.0, atol=1e-12)
    np.testing.assert_allclose((world.mu * tastes**2).sum(axis=2), 1.0, rtol=1e-12)


def test_a_signed_population_has_users_who_want_the_opposite(population):
    k = len(TASTES)
    assert population.names[k:] == tuple(f"-{name}" for name in TASTES)
    np.testing.assert_array_equal(population.tastes[:k], -population.tastes[k:])
    lover, hater = population.world_of("manners").utility, population.world_of("-manners").utility
    np.testing.assert_array_equal(lover, -hater)


def test_labels_are_neither_noise_nor_certain(world):
    rows = world.indices("test")[:6]
    for signed in (False, True):
        population = Population.build(world, PopulationSpec(unseen=12, signed=signed))
        rewards = [population.reward(population.weights_of(person))[rows] for person in population.unseen]
        assert 0.6 < np.mean([label_agreement(world.mu[rows], reward) for reward in rewards]) < 0.75


def test_pairs_are_shared_out_among_seen_users_and_contexts_among_unseen(population):
    users = [row["user"] for row in population.pairs(20)]
    assert set(users) == set(population.seen) and max(map(users.count, users)) - min(map(users.count, users)) <= 1
    contexts = population.contexts()
    assert {row["user"] for row in contexts} == set(population.unseen)
    assert len(contexts) == 16 * 4 and len({row["id"] for row in contexts}) == len(contexts)
    train = {population.world.prompts[x].text for x in population.world.indices("train")}
    assert {row["prompt"] for row in contexts} <= train
    drawn = {tuple(row[k] for k in ("prompt", "chosen", "rejected")) for row in population.pairs(600)}
    assert len([row for row in contexts if tuple(row[k] for k in ("prompt", "chosen", "rejected")) in drawn]) <= 2


def test_a_person_judges_by_the_person_s_own_reward(population):
    world, x = population.world, 3
    lover, hater = population.judge("manners"), population.judge("-manners")
    texts = world.responses(x)
    args = [world.prompts[x].text] * 2, [texts[0], texts[10]], [texts[255], texts[10]]
    p, q = ([verdict.p_first for verdict in judge.prefer(*args)] for judge in (lover, hater))
    np.testing.assert_allclose(np.add(p, q), 1.0, rtol=1e-12)
    assert p[0] > 0.9 and p[1] == 0.5
    assert lover.name == "oracle, manners"


def test_an_unknown_user_is_an_error_that_names_the_nearest(population):
    with pytest.raises(ValueError, match="did you mean 'unseen-03'"):
        population.weights_of("unsen-03")


@pytest.mark.parametrize("fields", [{"seen": 0}, {"unseen": 0}, {"alpha": 0.0}, {"scale": -1.0}, {"context": -1}])
def test_a_senseless_spec_is_refused_by_name(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        PopulationSpec(**fields)


def test_differences_are_the_log_odds_of_labels(population):
    person = population.unseen[0]
    rows = [row for row in population.contexts() if row["user"] == person]
    reward, world = population.world_of(person).reward, population.world
    expected = [
        reward[world.index(row["prompt"]), world.parse(row["prompt"], row["chosen"])]
        - reward[world.index(row["prompt"]), world.parse(row["prompt"], row["rejected"])]
        for row in rows
    ]
    np.testing.assert_allclose(population.differences(rows) @ population.weights_of(person), expected, rtol=1e-9)


def test_a_response_off_the_grammar_in_a_context_names_its_pair(population):
    row = {**population.contexts()[0], "rejected": "hm"}
    with pytest.raises(ValueError, match=r"context-000000.*rejected"):
        population.differences([row])


def test_without_pairs_the_posterior_is_the_population_and_all_draws_count():
    prior = Prior.draw(PopulationSpec(alpha=0.3), tastes=4, draws=20_000)
    mean, effective = prior.posterior_mean(np.zeros((0, 4)))
    np.testing.assert_allclose(mean, prior.weights.mean(axis=0), rtol=1e-12)
    assert effective == pytest.approx(20_000)


def test_with_many_pairs_the_posterior_is_the_user(world):
    population = Population.build(world, PopulationSpec(seen=1, unseen=3, context=400))
    prior = Prior.draw(population.spec, tastes=4, draws=5000)
    rows = population.contexts()
    for person in population.unseen:
        differences = population.differences([row for row in rows if row["user"] == person])
        few, many = (prior.posterior_mean(differences[:n]) for n in (8, 400))
        truth = population.weights_of(person)
        assert np.abs(many[0] - truth).max() < 0.12 and np.abs(many[0] - truth).sum() < np.abs(few[0] - truth).sum()
        assert many[1] < few[1]


def test_the_posterior_mean_is_the_best_of_all_weights_for_the_draws_that_a_context_leaves(population):
    """E[E r - beta KL] under the posterior is greatest at the tilt by its mean: at no other weights is it higher."""
    prior = Prior.draw(population.spec, tastes=8, draws=2000)
    mu, beta = population.world.mu[:2], 0.5
    rewards = population.rewards[:, :2]
    differences = population.differences(population.contexts()[:4])
    mean, _ = prior.posterior_mean(differences)
    omega = np.exp(-np.logaddexp(0.0, -prior.weights @ differences.T).sum(axis=1))
    posterior = (omega / omega.sum()) @ np.tensordot(prior.weights, rewards, axes=1).reshape(len(omega), -1)

    def expected(weights) -> float:
        policy = tilt(mu, np.tensordot(weights, rewards, axes=1) / beta)
        return float((policy * (posterior.reshape(mu.shape) - beta * np.log(policy / mu))).sum())

    rng = np.random.default_rng(0)
    assert all(expected(mean) > expected(w) for w in rng.dirichlet(np.ones(8), 30))
    assert all(expected(mean) > expected(mean + 0.02 * step) for step in rng.normal(size=(10, 8)))
