"""Data steps against their papers: closed forms, limits and exact equalities."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.trainers.data_steps.test_contract import source
from trainers.data.records import Pair
from trainers.data_steps import Responses, Source, create
from trainers.data_steps.ric import targets, wish, z_scores
from trainers.data_steps.rso import accept


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("flipped", [False, True], ids=["noiseless labels", "every label wrong"])
def test_relabel_without_designer_changes_no_label_whatever_the_labels(flipped):
    source_data = source()
    if flipped:
        pairs = [replace(p, chosen=p.rejected, rejected=p.chosen) for p in source_data.pairs]
        source_data = Source(
            pairs, Responses([], source_data.dataset.designer[:, ::-1], source_data.dataset.user[:, ::-1])
        )
        source_data = replace(
            source_data, dataset=replace(source_data.dataset, texts=[[p.chosen, p.rejected] for p in pairs])
        )
    made = create("relabel", designer_weight=0).prepare(source_data, rng())
    assert made.records == source_data.pairs and made.facts == {"labels_changed": 0.0}
    np.testing.assert_array_equal(made.rewards, source_data.dataset.designer)


def test_relabelled_labels_follow_the_compound_odds():
    """Two responses, Δr = 1 and ΔR = −1: with w = 3 the first wins with probability σ(1 − 3), whoever had won."""
    n = 40000
    first_won = rng(1).random(n) < 1 / (1 + np.exp(-1.0))
    pairs = [Pair(f"p{i}", "x", *((" a", " b") if won else (" b", " a"))) for i, won in enumerate(first_won)]
    order = np.where(first_won[:, None], [0, 1], [1, 0])
    dataset = Responses([["", ""]] * n, np.array([0.0, 1.0])[order], np.array([1.0, 0.0])[order])
    made = create("relabel", designer_weight=3).prepare(Source(pairs, dataset), rng(2))
    share = np.mean([pair.chosen == " a" for pair in made.records])
    expected = 1 / (1 + np.exp(2.0))
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / n)
    # Only as many labels change as the odds demand: the difference of the two probabilities.
    assert made.facts["labels_changed"] == pytest.approx(1 / (1 + np.exp(-1.0)) - expected, abs=0.01)
    np.testing.assert_array_equal(made.rewards[:, 0], [pair.chosen == " b" for pair in made.records])


def test_rejection_sampling_keeps_the_best_as_temperature_falls_and_the_first_as_it_rises():
    rewards = rng(3).normal(size=50).tolist()
    best = sorted(range(50), key=lambda i: -rewards[i])
    assert accept(rewards, 1e-9, 8, rng()) == best[:8]
    assert accept(rewards, 1e12, 8, rng()) == list(range(8))
    assert sorted(accept(rewards, 0.5, 99, rng())) == list(range(50))
    assert accept([], 1.0, 3, rng()) == []


def test_rejection_sampling_draws_from_the_tilted_distribution():
    """The first accepted of many draws of μ = (½, ½), r = (0, −1), β = ½ is the worse with odds e^(−2)."""
    draws = rng(4)
    worse = 0
    for _ in range(4000):
        responses = draws.integers(0, 2, 30)
        # The best response is among 30 draws, so r_max is known.
        worse += responses[accept((-responses).tolist(), 0.5, 1, draws)[0]]
    expected = np.exp(-2) / (1 + np.exp(-2))
    assert abs(worse / 4000 - expected) < 4 * np.sqrt(expected * (1 - expected) / 4000)


def test_rso_pairs_put_the_larger_reward_first_and_are_as_many_as_the_data_has():
    source_data = source()
    made = create("rso", rejection_temperature=1e12, designer_weight=2.0).prepare(source_data, rng())
    reward = source_data.samples.compound(1.0, 2.0)
    of_text = {
        t: reward[row, k] for row, texts in enumerate(source_data.samples.texts) for k, t in enumerate(texts) if t
    }
    assert 0 < len(made.records) <= len(source_data.pairs)
    assert all(of_text[pair.chosen] > of_text[pair.rejected] for pair in made.records)


def test_best_worst_is_the_ends_of_the_samples():
    texts = [[" a", None, " b", " c"], [" a", " a", None, None], [None] * 4]
    user = np.array([[0.0, np.nan, 2.0, 1.0], [1.0, 1.0, np.nan, np.nan], [np.nan] * 4])
    pairs = [Pair(f"p{i}", f"x{i}", " y", " z") for i in range(3)]
    source_data = Source(pairs, Responses([]), Responses(texts, user * 0.1, user))
    made = create("best_worst").prepare(source_data, rng())
    assert made.records == [Pair("p0", "x0", " b", " a")]
    np.testing.assert_allclose(made.rewards, [[0.2, 0.0]])


def test_base_responses_and_kwise_take_the_first_complete_samples():
    texts = [[None, " b", " c"], [None, None, " d"]]
    user = np.array([[np.nan, 2.0, 1.0], [np.nan, np.nan, 0.0]])
    pairs = [Pair(f"p{i}", f"x{i}", " y", " z") for i in range(2)]
    source_data = Source(pairs, Responses([[" y", " z"]] * 2, np.zeros((2, 2))), Responses(texts, user / 10, user))
    anchored = create("base_responses").prepare(source_data, rng())
    assert [pair.base_response for pair in anchored.records] == [" b", " d"]
    np.testing.assert_allclose(anchored.rewards, [[0, 0, 0.2], [0, 0, 0.0]])
    groups = create("kwise", responses=2, designer_weight=10.0).prepare(source_data, rng())
    assert [group.responses for group in groups.records] == [(" b", " c")]
    np.testing.assert_allclose(groups.rewards, [[4.0, 2.0]])


def test_listwise_gathers_the_data_s_own_responses_to_a_prompt():
    """A ranking a > b > c comes as two pairs; a prompt with two responses is left out at K = 3."""
    pairs = [Pair("p0", "x", " a", " b"), Pair("p1", "x", " b", " c"), Pair("p2", "y", " d", " e")]
    score = np.array([[3.0, 2.0], [2.0, 1.0], [9.0, 8.0]])
    source_data = Source(
        pairs, Responses([[p.chosen, p.rejected] for p in pairs], designer=score, user=np.ones((3, 2)))
    )
    made = create("listwise", responses=3, user_weight=0.0, designer_weight=2.0).prepare(source_data, rng())
    assert [(group.id, group.prompt, group.responses) for group in made.records] == [("p0", "x", (" a", " b", " c"))]
    np.testing.assert_array_equal(made.rewards, [[6.0, 4.0, 2.0]])
    assert made.facts == {"prompts_left_out": 1.0}


def test_gold_is_the_best_of_pair_and_samples():
    texts = [[None, " b", " c"], [None, None, " d"], [None, None, None]]
    user = np.array([[np.nan, 2.0, 1.0], [np.nan, np.nan, 0.0], [np.nan] * 3])
    pairs = [Pair(f"p{i}", f"x{i}", " y", " z") for i in range(3)]
    own = np.array([[1.0, 0.0], [0.5, 0.25], [0.0, 3.0]])
    given = Source(pairs, Responses([[" y", " z"]] * 3, own / 10, own), Responses(texts, user / 10, user))
    made = create("gold_responses").prepare(given, rng())
    assert [pair.base_response for pair in made.records] == [" b", " y", " z"]
    np.testing.assert_allclose(made.rewards, [[0.1, 0.0, 0.2], [0.05, 0.025, 0.05], [0.0, 0.3, 0.3]])
    assert made.facts == {"gold_from_samples": pytest.approx(1 / 3)}


@pytest.mark.parametrize(("negatives", "expected"), [("self_hard", " d"), ("similar", " a b x"), ("popular", " c")])
def test_built_negatives(negatives, expected):
    texts = [[" a b", " a b x", " c", " d"], [" c", " c", None, " e"]]
    user = np.array([[9.0, 3.0, 2.0, 1.0], [2.0, 2.0, np.nan, 5.0]])
    pairs = [Pair(f"p{i}", "x", " a b", " z") for i in range(2)]
    source_data = Source(
        pairs, Responses([[" a b", " z"]] * 2, np.zeros((2, 2)), np.ones((2, 2))), Responses(texts, 0 * user, user)
    )
    made = create("built_negatives", negatives=negatives).prepare(source_data, rng())
    assert (made.records[0].chosen, made.records[0].rejected) == (" a b", expected)


def test_csft_tags_go_round_trip():
    source_data = source()
    step = create("csft")
    made = step.prepare(source_data, rng())
    good = step.condition(made.facts)
    back = {r.id: (r.prompt, r.response) for r in made.records}
    for pair in source_data.pairs:
        prompt, response = back[f"{pair.id}/chosen"]
        assert (prompt, response) == (pair.prompt + good, pair.chosen)
        prompt, response = back[f"{pair.id}/rejected"]
        assert (prompt, response) == (pair.prompt + good.replace("good", "bad"), pair.rejected)


def test_ric_targets_follow_the_authors_rule():
    low, high = np.array([-2.0, -1.0]), np.array([2.0, 3.0])
    for weights, expected in (((1, 0), (2, -1)), ((0, 1), (-2, 3)), ((0.5, 0.5), (2, 3)), ((0.75, 0.25), (2, 1))):
        np.testing.assert_allclose(targets(np.array(weights), low, high), expected)


def test_ric_targets_by_the_rule_of_the_authors_evaluation():
    """w/‖w‖₂ on the circle: (0.6, 0.8) stands for weights 3:4; at equal weights both targets are below their maxima."""
    low, high = np.array([-4.0, -4.0]), np.array([4.0, 4.0])
    for weights, expected in (((1, 0), (4, -4)), ((3 / 7, 4 / 7), (0.8, 2.4)), ((0.5, 0.5), (2**0.5 * 4 - 4,) * 2)):
        np.testing.assert_allclose(targets(np.array(weights), low, high, "l2"), expected)
    made = create("ric").prepare(source(), rng())
    asked = [create("ric", designer_share=0.3, rule=rule).condition(made.facts) for rule in ("linf", "l2")]
    assert asked[0] != asked[1]


def test_ric_writes_scores_of_mean_zero_and_spread_one():
    source_data = source(n=400)
    made = create("ric").prepare(source_data, rng())
    written = np.array([[float(part.split()[0]) for part in r.prompt.split(">")[1:]] for r in made.records])
    rewards = np.stack([source_data.dataset.user, source_data.dataset.designer], axis=-1)
    expected = z_scores(rewards, rewards)
    np.testing.assert_allclose(written, expected.reshape(-1, 2), atol=0.05 + 1e-9)
    assert np.abs(written.mean(axis=0)).max() < 0.02 and np.abs(written.std(axis=0) - 1).max() < 0.02
    asked = create("ric", designer_share=1.0).condition(made.facts)
    assert asked == wish([made.facts["min_1"], made.facts["max_2"]])


def test_ric_asks_for_samples_near_the_frontier():
    """At least one score is the largest that is known; the other lies anywhere between the extremes."""
    facts = {"min_1": -2.0, "max_1": 2.0, "min_2": -1.0, "max_2": 3.0}
    wishes = create("ric").wishes(facts, 500, rng())
    asked = np.array([[float(part.split()[0]) for part in wish.split(">")[1:]] for wish in wishes])
    low, high = np.array([-2.0, -1.0]), np.array([2.0, 3.0])
    assert (asked == high).any(axis=1).all() and (low <= asked).all() and (asked <= high).all()
    for column in (0, 1):
        free = asked[asked[:, 1 - column] == high[1 - column], column]
        assert 200 < len(free) < 300 and free.min() < low[column] + 0.3 and free.mean() < high[column] - 1


def test_ric_s_online_data_are_the_best_with_the_scores_that_they_have():
    """Two samples of five are kept: the best by either reward. Scores are those of the pairs' scale, mean 0.5, spread 0.5."""
    pairs = [Pair(f"p{i}", f"x{i}", " y", " z") for i in range(2)]
    own = np.array([[1.0, 0.0], [1.0, 0.0]])
    texts = [[" a", " b", None], [" c", " d", " e"]]
    user = np.array([[0.0, 2.0, np.nan], [0.1, 0.2, 0.3]])
    designer = np.array([[0.9, 0.0, np.nan], [0.1, 0.2, 0.3]])
    given = Source(pairs, Responses([[" y", " z"]] * 2, own, own), Responses(texts, designer, user))
    made = create("ric", quantile=0.9).prepare_online(given, rng())
    samples = {r.response: r for r in made.records if "sample" in r.id}
    assert set(samples) == {" a", " b"} and made.facts == {"samples_kept": 2.0}
    assert samples[" b"].prompt == f"x0{wish([3.0, -1.0])}" and samples[" a"].prompt == f"x0{wish([-1.0, 0.8])}"
    assert {r.response for r in made.records} - set(samples) == {" y"}
    assert made.rewards[:2, 0].tolist() == [0.9, 0.0]


def test_ric_s_training_data_does_not_depend_on_what_will_be_asked():
    one, other = (create("ric", designer_share=share).prepare(source(), rng()) for share in (0.0, 1.0))
    assert one.records == other.records and one.facts == other.facts
