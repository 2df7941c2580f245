"""The fit of V(x) before the first step, the states that it is fitted on, and its condition on held-out prompts."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.toy import MODEL, make_pairs
from trainers.align import align
from trainers.config import LoraConfig, TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.methods import create
from trainers.model.loading import layout_for, load, make, weights_hash
from trainers.model.logprobs import score
from trainers.model.response_logprobs import score_tokens
from trainers.model.rows import lay_out
from trainers.objective.gradient import MethodInputs, Objective
from trainers.objective.prompt_states import Prompts, last_states, read_prompt_states, write_prompt_states
from trainers.objective.value_course import response_states, response_values
from trainers.objective.value_fit import Points, condition, fit_value, held_out
from trainers.objective.value_head import ValueHead

CONFIG = TrainConfig(learning_rate=1e-3, batch_size=8, warmup_steps=2, epochs=2, log_every=3, optimizer="adamw")
NOTHING = Points(torch.zeros(0, 16), torch.zeros(0), np.zeros(0, np.int64))


@pytest.fixture(scope="module")
def rewards(tmp_path_factory, pairs):
    """R around 0.7, higher for the chosen."""
    rng = np.random.default_rng(0)
    file = tmp_path_factory.mktemp("rewards") / "rewards.parquet"
    rows = [(p.id, side, 0.7 + bonus + 0.1 * rng.random()) for p in pairs for side, bonus in (("chosen", 0.1), ("rejected", -0.1))]  # fmt: skip
    pd.DataFrame(rows, columns=["id", "response", "clean"]).to_parquet(file)
    return {"rewards": file, "objective_weights": {"clean": 1.0}}


def points(scale: float = 1.0, shift: float = 0.0) -> Points:
    """Two prompts: one with rewards 0 and 1, one with rewards 1 and 1."""
    states = torch.randn(2, 16, generator=torch.Generator().manual_seed(0))
    return Points(states, shift + scale * torch.tensor([0.0, 1.0, 1.0, 1.0]), np.array([0, 0, 1, 1]))


@pytest.mark.parametrize("tau", [0.3, 0.5, 0.7, 0.9])
def test_the_fit_reaches_the_expectile_of_each_prompt(tau):
    """The τ-expectile of 0 and 1 in equal parts is τ, that of a constant the constant."""
    head = ValueHead(16, seed=0)
    fit_value(head, points(), NOTHING, tau, seed=0)
    np.testing.assert_allclose(head(points().states, None).detach(), [tau, 1.0], atol=0.05)
    reached = condition(head(points().states, None).detach()[points().owners], points().rewards, tau)
    assert abs(reached.residual) < 0.03 and reached.is_sound()
    error = np.array([0.0, 1.0, 1.0, 1.0]) - head(points().states, None).detach().numpy()[[0, 0, 1, 1]]
    assert reached.explained == pytest.approx(1 - np.var(error) / (3 / 16), abs=1e-5)


def test_the_fit_follows_the_rewards_scale():
    """V of a + b·R is a + b·V: the fit is on standardised rewards."""
    plain, scaled = ValueHead(16, seed=0), ValueHead(16, seed=0)
    fit_value(plain, points(), NOTHING, 0.7, seed=0)
    fit_value(scaled, points(1e-3, -50.0), NOTHING, 0.7, seed=0)
    states = points().states
    np.testing.assert_allclose((scaled(states, None).detach() + 50) * 1e3, plain(states, None).detach(), atol=0.02)


def test_a_head_that_says_zero_or_noise_is_not_sound():
    silent, noisy = ValueHead(16, seed=0), ValueHead(16, seed=0)
    with torch.no_grad():
        silent.last.weight.zero_(), silent.last.bias.zero_()
        noisy.last.weight.mul_(100.0)
    training = points(0.2, 0.7)
    zero, wild = (
        condition(head(training.states, None).detach()[training.owners], training.rewards, 0.5)
        for head in (silent, noisy)
    )
    assert zero.residual == pytest.approx(0.85) and not zero.is_sound()
    assert wild.explained < -0.1 and not wild.is_sound()


def test_batches_hold_every_point_once():
    rng = np.random.default_rng(1)
    owners = rng.integers(0, 600, 1500)
    whole = Points(torch.arange(600.0)[:, None], torch.from_numpy(owners.astype(np.float32)), owners)
    batches = list(whole.batches(np.random.default_rng(2)))
    assert max(len(batch.states) for batch in batches) <= 32
    assert all(torch.equal(batch.states[batch.owners, 0], batch.rewards) for batch in batches)
    assert Counter(torch.cat([batch.rewards for batch in batches]).tolist()) == Counter(owners.astype(float).tolist())


def test_held_out_prompts_are_a_tenth_and_the_same_each_time():
    assert len(held_out(200)) == 20 and len(held_out(9)) == 0
    assert np.array_equal(held_out(200), held_out(200)) and len(np.unique(held_out(200))) == 20


@pytest.mark.parametrize("budget", [16384, 30])
def test_prompt_states_are_those_the_head_reads_in_training(budget, base, tokenizer):
    policy = load(base)
    encoded = encode_pairs(make_pairs(14) + make_pairs(3), tokenizer, Limits(64))
    layout = layout_for(policy, encoded.longest(), 16384)
    prompts = Prompts.of(encoded)
    assert len(prompts.tokens) == 14 and prompts.of_example.tolist() == [*range(14), 0, 1, 2]
    with torch.no_grad():
        scored = score(policy, lay_out(encoded, [[row] for row in range(17)], layout))
    states = last_states(policy, prompts.tokens, replace(CONFIG, micro_batch_tokens=budget))
    np.testing.assert_allclose(states[prompts.of_example], scored.prompt_hidden, atol=2e-5)
    if budget == 16384:
        drawn = response_states(policy, encoded, layout, CONFIG)
        split = response_states(policy, encoded, layout_for(policy, encoded.longest(), 90), CONFIG)
        torch.testing.assert_close(drawn, split, atol=2e-5, rtol=1e-4)
        head = ValueHead(MODEL.hidden, seed=0)
        means = response_values(policy, head, encoded, layout, CONFIG).flatten()
        # Each is the state of one of its response's tokens.
        bounds = np.cumsum(encoded.lengths.reshape(-1))
        for response, (end, length) in enumerate(zip(bounds, encoded.lengths.reshape(-1), strict=True)):
            distances = (scored.token_hidden[end - length : end] - drawn[response]).abs().amax(1)
            assert distances.min() < 1e-4
            mean = head(scored.token_hidden[end - length : end], None).mean().item()
            assert means[response].item() == pytest.approx(mean, abs=1e-5)


def test_stored_states_are_found_by_their_prompts_and_refused_elsewhere(base, pairs, tokenizer, tmp_path):
    file = write_prompt_states(base, pairs, CONFIG, tmp_path / "states.safetensors")
    model = load(base)
    prompts = Prompts.of(encode_pairs(pairs[::-1][:20], tokenizer, Limits(64)))
    states = read_prompt_states(file, prompts, weights_hash(model), CONFIG)
    np.testing.assert_allclose(states, last_states(model, prompts.tokens, CONFIG), atol=2e-5)
    with pytest.raises(ValueError, match="another base"):
        read_prompt_states(file, prompts, "0" * 64, CONFIG)
    with pytest.raises(ValueError, match="computed in float32, this run uses bfloat16"):
        read_prompt_states(file, prompts, None, replace(CONFIG, dtype="bfloat16"))
    others = Prompts.of(encode_pairs(make_pairs(5, seed=9), tokenizer, Limits(64)))
    with pytest.raises(ValueError, match="lacks 5 prompts"):
        read_prompt_states(file, others, None, CONFIG)


def test_v_learns_nothing_from_held_out_prompts(tokenizer):
    """Their advantages still use V: the policy's gradient stays, bit for bit."""
    encoded = encode_pairs(make_pairs(6), tokenizer, Limits(64))
    gradients = []
    for aside in (None, torch.zeros(6, dtype=torch.bool), torch.arange(6) < 3, torch.ones(6, dtype=torch.bool)):
        policy, head = make(MODEL, tokenizer, seed=1).eval(), ValueHead(MODEL.hidden, seed=0)
        layout = layout_for(policy, 64, 10_000)
        reference = torch.from_numpy(score_tokens(policy, encoded, layout, CONFIG)[0])[None]
        desirable = torch.tensor([[True, False]]).expand(6, 2)
        inputs = MethodInputs(desirable, reference, torch.linspace(0, 1, 12).view(6, 2), value_held_out=aside)
        upo = create("upo", base="dpo", value_coefficient=1.0)
        Objective(upo, policy, head, encoded, inputs, layout, CONFIG).backward(np.arange(6), step=0)
        gradients.append([torch.cat([p.grad.flatten() for p in part.parameters()]) for part in (policy, head)])
    none, learned, half, all_aside = gradients
    assert all(torch.equal(other[0], none[0]) for other in gradients)
    assert torch.equal(learned[1], none[1]) and not torch.equal(half[1], none[1])
    assert half[1].abs().max() > 0 and all_aside[1].abs().max() == 0


@pytest.mark.parametrize("method", ["upo", "a_lol", "a_lol_ref_free"])
def test_the_first_active_step_has_advantages_around_zero(method, base, pairs, rewards, tmp_path):
    """Rewards average 0.75: a head that starts at 0 has advantages of 0.75."""
    results = [
        align(create(method, value_fit=fit), base, pairs, CONFIG, tmp_path / fit, **rewards) for fit in ("before", "beside")
    ]  # fmt: skip
    first = [next(value for _, name, value in result.curve if name == "advantage_mean") for result in results]
    assert abs(first[0]) < 0.06 and first[1] > 0.5
    assert abs(results[0].health["value_residual_start"]) < 0.1
    assert "value_residual_start" not in results[1].health


@pytest.mark.parametrize("warmup", [0, 1, 4])
def test_a_warm_up_of_n_steps_is_silent_for_exactly_n(warmup, base, pairs, rewards, tmp_path):
    method = create("upo", aux_warmup=warmup, gamma=1.0)
    curve = align(method, base, pairs, replace(CONFIG, log_every=1), tmp_path / "out", **rewards).curve
    shares = [value for _, name, value in curve if name == "auxiliary_gradient_share"]
    assert [share > 0 for share in shares] == [False] * warmup + [True] * (10 - warmup)
    for name in ("reward", "value", "advantage_mean", "advantage_std", "weight_mean", "weight_effective_share"):
        assert [step for step, metric, _ in curve if metric == name] == list(range(warmup + 1, 11)), name


def test_a_metrics_first_value_is_an_entry_of_its_own(base, pairs, rewards, tmp_path):
    config = replace(CONFIG, log_every=5)
    often = align(create("upo", aux_warmup=2), base, pairs, replace(config, log_every=1), tmp_path / "often", **rewards)
    seldom = align(create("upo", aux_warmup=2), base, pairs, config, tmp_path / "seldom", **rewards)
    values = {(step, name): value for step, name, value in often.curve}
    entries = [(step, value) for step, name, value in seldom.curve if name == "value"]
    assert [step for step, _ in entries] == [3, 5, 10]
    assert entries[0][1] == values[3, "value"]
    assert entries[1][1] == pytest.approx(np.mean([values[step, "value"] for step in (3, 4, 5)]), rel=1e-5)
    assert [step for step, name, _ in seldom.curve if name == "loss"] == [1, 5, 10]


def test_a_frozen_head_is_seen(base, pairs, rewards, tmp_path, caplog):
    """A head that learns neither before nor beside says 0 where rewards average 0.75."""
    with caplog.at_level(logging.WARNING, "trainers.objective.value_fit"):
        sound = align(create("upo"), base, pairs, CONFIG, tmp_path / "sound", **rewards)
    assert caplog.records == [] and abs(sound.health["value_residual"]) < 0.1
    frozen = create("upo", value_fit="beside", value_coefficient=0.0)
    with caplog.at_level(logging.WARNING, "trainers.objective.value_fit"):
        result = align(frozen, base, pairs, CONFIG, tmp_path / "frozen", **rewards)
    assert "V(x) does not fit its rewards at the end: on held-out prompts it is off its expectile" in caplog.text
    assert result.health["value_residual"] > 0.5


@pytest.mark.parametrize("parameters", [{}, {"value": "response_mean"}], ids=["prompt", "response"])
@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_stored_and_computed_states_train_the_same_policy(parameters, lora, base, pairs, rewards, tmp_path):
    file = write_prompt_states(base, pairs, CONFIG, tmp_path / "states.safetensors")
    config, method = replace(CONFIG, lora=lora), create("upo", **parameters)
    computed = align(method, base, pairs, config, tmp_path / "computed", **rewards)
    stored = align(method, base, pairs, config, tmp_path / "stored", **rewards, prompt_states=file)
    first, second = (load_file(result.checkpoint / "model.safetensors") for result in (computed, stored))
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=1e-6, rtol=0)


def test_a_value_that_follows_the_policy_is_judged_at_the_start_alone(base, pairs, rewards, tmp_path):
    health = align(create("dro_v"), base, pairs, CONFIG, tmp_path / "out", **rewards).health
    assert abs(health["value_residual_start"]) < 0.1 and "value_residual" not in health
