"""A Bradley–Terry head on a frozen base: the optimum of its loss, the states it reads, and the judge that is saved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from suites.judges.reward_model import RewardModelJudge
from tests.trainers.toy import make_pairs
from trainers.config import TrainConfig
from trainers.reward_head import PairStates, fitted_head, read_pair_states, train_reward_head, write_pair_states
from trainers.reward_model import is_held_out

CONFIG = TrainConfig()
PAIRS = make_pairs(150)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def trained(request, base, tmp_path_factory):
    folder, config = tmp_path_factory.mktemp("head"), replace(CONFIG, dtype=request.param)
    states = write_pair_states(base, PAIRS, config, folder / "states.safetensors")
    return states, train_reward_head(base, states, config, folder / "model"), folder


def test_the_base_stays_as_it_is(trained, base):
    saved = AutoModelForSequenceClassification.from_pretrained(trained[1].checkpoint)
    start = AutoModelForCausalLM.from_pretrained(base, dtype=saved.dtype)
    for name, tensor in start.model.state_dict().items():
        assert torch.equal(saved.model.state_dict()[name], tensor)


def test_stored_states_are_those_that_were_computed(trained):
    states, _, folder = trained
    stored = read_pair_states(folder / "states.safetensors")
    for name in ("chosen", "rejected", "aside"):
        assert np.array_equal(getattr(stored, name), getattr(states, name))
    assert stored.tokens == states.tokens > 0


def test_the_judge_has_the_accuracy_that_the_fit_measured(trained):
    """The margins of the held-out pairs again, by the judge that runs use from the saved model."""
    states, result, _ = trained
    held_out = [pair for pair in PAIRS if is_held_out(pair, 0.2)]
    judge = RewardModelJudge(result.checkpoint)
    prompts = [pair.prompt for pair in held_out]
    margins = np.subtract(*(judge.score(prompts, [getattr(p, s) for p in held_out]) for s in ("chosen", "rejected")))
    assert result.health["held_out_pairs"] == len(held_out) == states.aside.sum()
    assert result.health["trained_pairs"] == len(PAIRS) - len(held_out)
    narrow = judge.model.dtype == torch.bfloat16
    head = judge.model.score.weight[0].detach().double().numpy()
    assert margins == pytest.approx(
        states.differences[states.aside] @ head, rel=2**-7 if narrow else 1e-5, abs=2**-6 if narrow else 1e-4
    )
    assert result.health["accuracy"] == pytest.approx((margins > 0).mean(), abs=2 / len(held_out) if narrow else 0)
    assert result.health["accuracy"] > 0.9


def test_the_head_is_the_optimum_of_the_penalised_likelihood():
    """At the minimum of Σ −log σ(w·d) + |w|²/(2C) in scaled units the gradient is 0: w is a mean of d weighted by σ(−w·d)."""
    rng = np.random.default_rng(1)
    differences = rng.normal(size=(300, 4)) + [0.5, -0.3, 0.0, 0.0]
    weights = fitted_head(differences, np.zeros(4), seed=0)
    pulled = differences.T @ (1 / (1 + np.exp(differences @ weights)))
    cosine = pulled @ weights / np.linalg.norm(pulled) / np.linalg.norm(weights)
    assert cosine == pytest.approx(1, abs=1e-3)


def test_no_component_lies_along_the_mean_state(trained):
    states, result, _ = trained
    head = (
        AutoModelForSequenceClassification.from_pretrained(result.checkpoint).score.weight[0].detach().double().numpy()
    )
    both = np.concatenate([states.chosen[~states.aside], states.rejected[~states.aside]]).astype(float)
    mean = both.mean(axis=0)
    assert abs(head @ mean) < 0.02 * np.linalg.norm(head) * np.linalg.norm(mean)


def test_nothing_held_out_is_an_error(base, tmp_path):
    states = PairStates(np.ones((3, 2)), np.zeros((3, 2)), np.zeros(3, bool), 0)
    with pytest.raises(ValueError, match="3 pairs to train on and 0 held out; both are needed"):
        train_reward_head(base, states, CONFIG, tmp_path / "model")
