"""A Bradley–Terry reward model: accuracy on separable responses, and loading by other libraries."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from suites.judges.reward_model import RewardModelJudge
from tests.trainers.toy import make_pairs
from trainers.config import TrainConfig
from trainers.reward_model import is_held_out, train_reward_model

CONFIG = TrainConfig(learning_rate=3e-3, batch_size=16, warmup_steps=5, epochs=3, optimizer="adamw")


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    return train_reward_model(base, make_pairs(200), CONFIG, tmp_path_factory.mktemp("reward") / "model", held_out=0.2)


def test_it_separates_what_can_be_separated(trained):
    assert trained.health["accuracy"] > 0.95
    assert trained.health["held_out_loss"] < 0.3
    assert 20 <= trained.health["held_out_pairs"] <= 60
    fresh = make_pairs(50, seed=5)
    judge = RewardModelJudge(trained.checkpoint)
    prompts = [pair.prompt for pair in fresh]
    chosen, rejected = (
        np.array(judge.score(prompts, [getattr(p, side) for p in fresh])) for side in ("chosen", "rejected")
    )
    assert (chosen > rejected).mean() > 0.95


def test_others_load_it_and_get_the_same_rewards(trained):
    pairs = make_pairs(12, seed=3)
    rewards = RewardModelJudge(trained.checkpoint, batch_size=3).score(
        [p.prompt for p in pairs], [p.chosen for p in pairs]
    )
    model = AutoModelForSequenceClassification.from_pretrained(trained.checkpoint).eval()
    tokenizer = AutoTokenizer.from_pretrained(trained.checkpoint)
    for pair, reward in zip(pairs, rewards, strict=True):
        with torch.no_grad():
            assert model(**tokenizer(pair.prompt + pair.chosen, return_tensors="pt")).logits.item() == pytest.approx(
                reward, abs=1e-5
            )


def test_the_judge_has_the_rewards_that_training_measured(trained):
    """Accuracy and loss on the held-out pairs, computed again from the saved model by the judge that runs use."""
    held_out = [pair for pair in make_pairs(200) if is_held_out(pair, 0.2)]
    judge = RewardModelJudge(trained.checkpoint)
    prompts = [pair.prompt for pair in held_out]
    margins = np.subtract(*(judge.score(prompts, [getattr(p, s) for p in held_out]) for s in ("chosen", "rejected")))
    assert trained.health["held_out_pairs"] == len(held_out)
    assert trained.health["accuracy"] == (margins > 0).mean()
    assert trained.health["held_out_loss"] == pytest.approx(np.logaddexp(0, -margins).mean(), abs=1e-5)


def test_micro_batches_change_nothing(base, tmp_path, trained):
    split = train_reward_model(
        base, make_pairs(200), replace(CONFIG, micro_batch_tokens=100), tmp_path / "split", held_out=0.2
    )
    for name, value in trained.health.items():
        assert split.health[name] == pytest.approx(value, abs=1e-3)


def test_empty_and_merging_responses_have_a_reward(trained):
    rewards = RewardModelJudge(trained.checkpoint).score(["w1", "w1"], ["", "w2"])
    assert np.isfinite(rewards).all()


def test_both_sides_of_the_split_are_needed(base, tmp_path):
    with pytest.raises(ValueError, match="0 held out"):
        train_reward_model(base, make_pairs(5), CONFIG, tmp_path / "out", held_out=0.0)
