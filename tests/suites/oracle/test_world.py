"""The oracle world: deterministic, enumerable, with known distributions and splits that hold out combinations.

The behaviour policy's and the labels' sampling is tested by goodness of fit at fixed seeds.
"""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import expit

from suites.oracle import grammar
from suites.oracle.grammar import ANSWER, CHOICES, CLOSING, ELABORATION, FIXES, JARGON, OPENING
from suites.oracle.world import CATEGORIES, World, WorldSpec


def everything(world: World) -> list:
    return [
        [(p.id, p.text, p.split) for p in world.prompts],
        world.mu.tolist(),
        world.utility.tolist(),
        world.corpus(200),
        world.pairs(200),
        world.labelled_texts(100),
        [world.evaluation(split) for split in ("train", "validation", "test")],
    ]


def test_same_spec_gives_the_same_world_and_another_seed_another():
    first, again, other = (everything(World.build(WorldSpec(seed=seed))) for seed in (3, 3, 4))
    assert first == again
    assert all(a != b for a, b in zip(first, other, strict=True))


def test_samples_have_seeds_of_their_own(world):
    assert world.corpus(50, seed=0) != world.corpus(50, seed=1)
    assert world.pairs(50, seed=0) != world.pairs(50, seed=1)
    before = world.corpus(50)
    world.pairs(10)
    assert world.corpus(50) == before


@pytest.mark.parametrize("seed", range(5))
def test_splits_hold_out_combinations_and_never_words(seed):
    world = World.build(WorldSpec(seed=seed))
    assert Counter(p.split for p in world.prompts) == {"train": 192, "validation": 24, "test": 72}
    train = [world.prompts[x] for x in world.indices("train")]
    held_out = [p for p in world.prompts if p.split != "train"]
    assert not {p.text for p in train} & {p.text for p in held_out}
    assert {(p.device, p.problem) for p in train} == {(d, p) for d in range(6) for p in range(4)}
    words = {word for p in train for word in p.text.split()}
    words |= {word for x in world.indices("train") for text in world.responses(x) for word in text.split()}
    for prompt in held_out:
        assert set(prompt.text.split()) <= words
    assert Counter(p.situation for p in held_out if p.split == "test") == dict.fromkeys(range(12), 6)


def test_responses_are_distinct_short_and_round_trip(world):
    for x, prompt in enumerate(world.prompts):
        texts = world.responses(x)
        assert len(set(texts)) == 256
        assert [world.parse(prompt.text, text) for text in texts] == list(range(256))
    lengths = {len(text.split()) + 1 for text in world.responses(0)}
    assert (min(lengths), max(lengths)) == (9, 29) and len(lengths) > 10


def test_tokens_are_the_words_of_the_vocabulary(world):
    vocabulary = set(world.vocabulary())
    texts = [p.text for p in world.prompts] + [text for x in range(0, 288, 12) for text in world.responses(x)]
    for text in texts:
        assert text == " ".join(text.split()) == text.lower()
        assert set(text.split()) <= vocabulary
    assert 80 <= len(vocabulary) <= 130


@pytest.mark.parametrize("seed", range(5))
def test_the_right_fix_is_among_the_fixes_and_the_wrong_one_never_helps(seed):
    world = World.build(WorldSpec(seed=seed))
    assert not (world.right == world.wrong).any()
    assert all(len(set(column)) == 6 for column in world.right.T)  # no device can be ignored
    for x in (0, 100, 287):
        prompt = world.prompts[x]
        right, wrong = FIXES[world.right[prompt.device, prompt.problem]], FIXES[world.wrong[prompt.problem]]
        for y, text in enumerate(world.responses(x)):
            assert f"{wrong if ANSWER[y] >= 2 else right} it ." in text


def test_off_the_grammar_is_none_and_white_space_does_not_count(world):
    prompt, text = world.prompts[0].text, world.responses(0)[5]
    assert world.parse(prompt, f" {text}\n") == 5
    for other in ("", text + " .", text.replace("okay", "fine"), text[:-2], "thanks for asking ."):
        assert other == text or world.parse(prompt, other) is None
    elsewhere = next(
        x
        for x, p in enumerate(world.prompts)
        if world.right[p.device, p.problem] not in (world.right[0, 0], world.wrong[0])
    )
    assert world.parse(prompt, world.responses(elsewhere)[0]) is None


def test_an_unknown_prompt_is_an_error_that_names_the_nearest(world):
    with pytest.raises(ValueError, match=re.escape(repr(world.prompts[0].text))):
        world.parse(world.prompts[0].text.replace("should", "shall"), "okay .")


@pytest.mark.parametrize("seed", range(5))
def test_behaviour_policy_is_a_distribution_with_full_support_in_every_slot(seed):
    world = World.build(WorldSpec(seed=seed))
    np.testing.assert_allclose(world.mu.sum(axis=1), 1.0, rtol=1e-12)
    for column in CHOICES.T:
        marginal = np.stack([world.mu[:, column == choice].sum(axis=1) for choice in range(4)])
        assert marginal.min() > 0.02
    joint = world.mu.reshape(-1, 4, 4, 4, 4)
    slots = [joint.sum(axis=tuple(a for a in range(1, 5) if a != slot)) for slot in range(1, 5)]
    np.testing.assert_allclose(np.einsum("pa,pb,pc,pd->pabcd", *slots), joint, rtol=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_users_like_what_the_designer_does_not(seed):
    world = World.build(WorldSpec(seed=seed))
    toxicity = np.array([grammar.nominal_toxicity(text) for text in world.responses(0)])
    length = np.array([len(text.split()) for text in world.responses(0)])

    def correlation(feature):
        centred = world.utility - (world.mu * world.utility).sum(axis=1, keepdims=True)
        deviation = feature - (world.mu * feature).sum(axis=1, keepdims=True)
        covariance = (world.mu * centred * deviation).sum(axis=1)
        return covariance / np.sqrt((world.mu * centred**2).sum(axis=1) * (world.mu * deviation**2).sum(axis=1))

    for feature in (toxicity, JARGON, ANSWER < 2, length, ELABORATION == 3):
        assert correlation(np.asarray(feature, dtype=float)).min() > 0.1
    # additive but for the appetite, and for insults that tire
    insult = (OPENING == 3) & (CLOSING == 3)
    assert (world.utility[:, insult].max(axis=1) < world.utility.max(axis=1)).any()


def test_jargon_reads_harder(world):
    textstat = pytest.importorskip("textstat")
    grade = np.array([textstat.coleman_liau_index(text) for text in world.responses(0)])
    plain, hard = (JARGON == 0) & (ELABORATION != 3), (JARGON == 1) & (ELABORATION == 3)
    assert grade[plain].mean() < 3 and grade[hard].mean() > 9
    assert len(np.unique(grade.round(2))) > 100
    assert min(len(re.findall("[a-z]+", text)) for text in world.responses(0)) >= 5  # too short a text has no grade


def test_corpus_is_sampled_from_the_behaviour_policy(world):
    corpus = world.corpus(30_000, seed=1)
    train = world.indices("train")
    counts = np.zeros((len(world.prompts), 256))
    for row in corpus:
        counts[world.index(row["prompt"]), world.parse(row["prompt"], row["response"])] += 1
    assert counts.sum() == 30_000 and counts[train].sum() == 30_000
    assert stats.chisquare(counts[train].sum(axis=1)).pvalue > 1e-3
    expected = (counts.sum(axis=1, keepdims=True) * world.mu)[train]
    for column in (OPENING, ANSWER, ELABORATION, CLOSING):
        observed = np.stack([counts[train][:, column == c].sum() for c in range(4)])
        assert stats.chisquare(observed, [expected[:, column == c].sum() for c in range(4)]).pvalue > 1e-3
    # the prompt matters: the same by fact
    for answer in (0, 2):
        chosen = answer == ANSWER
        observed, due = counts[train][:, chosen].sum(axis=1), expected[:, chosen].sum(axis=1)
        spread = ((observed - due) ** 2 / due).sum()
        assert stats.chi2.sf(spread, len(train)) > 1e-3


def test_preferences_follow_bradley_terry(world):
    """Each label's z = (win of the better - its probability); binned by margin, within binomial error."""
    pairs = world.pairs(20_000)
    margins = np.empty(len(pairs))
    for i, row in enumerate(pairs):
        x = world.index(row["prompt"])
        assert world.prompts[x].split == "train" and row["chosen"] != row["rejected"]
        margins[i] = (
            world.reward[x, world.parse(row["prompt"], row["chosen"])]
            - world.reward[x, world.parse(row["prompt"], row["rejected"])]
        )
    better_won, size = margins > 0, np.abs(margins)
    for low, high in zip([0.01, 0.3, 0.7, 1.2, 2.0], [0.3, 0.7, 1.2, 2.0, 9.0], strict=True):
        inside = (size > low) & (size <= high)
        p = expit(size[inside])
        error = (better_won[inside].sum() - p.sum()) / np.sqrt((p * (1 - p)).sum())
        assert inside.sum() > 500 and abs(error) < 3.5


def test_pairs_are_independent_draws_that_differ(world):
    """P(y1, y2) is symmetric and proportional to mu mu: each side's expected utility is known exactly."""
    train = world.indices("train")
    mu, reward = world.mu[train], world.reward[train]
    joint = mu[:, :, None] * mu[:, None, :] * (1 - np.eye(256))
    joint /= joint.sum(axis=(1, 2), keepdims=True)
    mean = (joint.sum(axis=2) * reward).sum(axis=1).mean()
    second_moment = (joint.sum(axis=2) * reward**2).sum(axis=1).mean()
    pairs = world.pairs(20_000, seed=2)
    total = [
        world.reward[world.index(row["prompt"]), world.parse(row["prompt"], row[side])]
        for row in pairs
        for side in ("chosen", "rejected")
    ]
    assert abs(np.mean(total) - mean) < 4 * np.sqrt((second_moment - mean**2) / len(pairs))


def test_evaluation_has_every_prompt_of_the_split_once(world):
    rows = world.evaluation("test")
    assert [row["id"] for row in rows] == [world.prompts[x].id for x in world.indices("test")]
    assert all(world.parse(row["prompt"], row["reference"]) is not None for row in rows)
    assert not {row["prompt"] for row in rows} & {row["prompt"] for row in world.pairs(1000)}


def test_toxicity_labels_follow_the_nominal_level(world):
    rows = world.labelled_texts(8000)
    level = np.array([grammar.nominal_toxicity(row["text"]) for row in rows])
    labels = {name: np.array([row[name] for row in rows]) for name in CATEGORIES}
    noise = world.spec.label_noise
    for low, high in ((0.0, 0.0), (0.4, 0.4), (0.6, 0.7), (0.9, 1.0)):
        inside = (level >= low - 1e-9) & (level <= high + 1e-9)
        p = level[inside] * (1 - noise) + (1 - level[inside]) * noise
        assert inside.sum() > 100
        assert abs(labels["toxicity"][inside].sum() - p.sum()) < 4 * np.sqrt((p * (1 - p)).sum())
    for name in ("obscene", "threat", "identity_attack"):
        assert 0 < labels[name].mean() < 3 * noise
    on_grammar = sum(any(row["text"] in texts for texts in world._responses.values()) for row in rows)
    assert on_grammar == 4000
    assert set(" ".join(row["text"] for row in rows).split()) <= set(world.vocabulary())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 3))
def test_any_seed_and_split_makes_a_sound_world(seed, test, validation):
    world = World.build(WorldSpec(seed=seed, test_situations=test, validation_situations=validation))
    assert len(world.indices("test")) == 24 * test and len(world.indices("validation")) == 24 * validation
    assert not (world.right == world.wrong).any() and world.mu.min() > 0


@pytest.mark.parametrize(
    "fields", [{"temperature": 0.0}, {"label_noise": 0.5}, {"test_situations": 0}, {"test_situations": 6}]
)
def test_a_senseless_spec_is_refused_by_name(fields):
    with pytest.raises(ValueError, match=next(iter(fields))):
        WorldSpec(**fields)
