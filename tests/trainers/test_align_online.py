"""Sampling within training: samples follow the policy, the policy follows the reward, and runs are deterministic."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.trainers.toy import WORDS
from trainers.align_online import align_online
from trainers.config import LoraConfig, TrainConfig
from trainers.data.tokenizer import load_tokenizer
from trainers.methods import create
from trainers.model.loading import adapt, load
from trainers.model.sampling import sample
from trainers.optim.checkpoint import state_file

CONFIG = TrainConfig(
    learning_rate=1e-2, batch_size=8, warmup_steps=2, log_every=1, epochs=10, max_steps=10, optimizer="adamw"
)
GOOD = set(WORDS[: len(WORDS) // 2])


def share_of_good_words(prompts, responses):
    return np.array([np.mean([word in GOOD for word in text.split()] or [0.0]) for text in responses])


def run(base, pairs, out, method=None, config=CONFIG, reward=share_of_good_words, **options):
    method = method or create("rloo", samples=4, beta=0.01)
    return align_online(method, base, pairs, reward, config, out, max_new_tokens=8, **options)


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(one, other):
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def metric(result, name):
    return [value for _, metric, value in result.curve if metric == name]


@pytest.fixture(scope="module")
def policy(base):
    return load(base), load_tokenizer(base)


def test_samples_follow_the_model(policy):
    """First tokens of 4000 samples against the model's own probabilities: Pearson's χ² within four deviations."""
    model, tokenizer = policy
    prompt = tokenizer("w1 w2").input_ids
    uniforms = np.random.default_rng(0).random((1, 4000, 1))
    drawn = [response[0] for response in sample(model, tokenizer, [prompt], uniforms, 64, 4096)[0]]
    with torch.no_grad():
        expected = 4000 * model(torch.tensor([prompt])).logits[0, -1].double().softmax(-1).numpy()
    counts = np.bincount(drawn, minlength=len(expected))
    often = expected >= 5
    statistic = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert often.sum() > 10
    assert abs(statistic - often.sum()) < 4 * np.sqrt(2 * often.sum())


def test_a_sample_depends_on_neither_its_batch_nor_its_padding(policy):
    model, tokenizer = policy
    prompts = [tokenizer(text).input_ids for text in ("w1", "w2 w3 w4 w5 w6", "w7 w8", "w1 w2 w3")]
    uniforms = np.random.default_rng(1).random((4, 3, 12))
    together = sample(model, tokenizer, prompts, uniforms, 64, 100_000)
    assert sample(model, tokenizer, prompts, uniforms, 64, 1) == together
    alone = [sample(model, tokenizer, [p], u[None], 64, 100)[0] for p, u in zip(prompts, uniforms, strict=True)]
    assert alone == together
    assert len({tuple(r) for row in together for r in row}) > 6
    eos = tokenizer.eos_token_id
    assert all(eos not in r[:-1] and (r[-1] == eos or len(r) == 12) for row in together for r in row)


def test_prompt_and_sample_stay_within_the_context(policy):
    model, tokenizer = policy
    prompts = [tokenizer(text).input_ids for text in ("w1", "w2 w3 w4 w5 w6")]
    short = sample(model, tokenizer, prompts, np.random.default_rng(2).random((2, 6, 12)), 8, 1000)
    assert all(len(p) + len(r) <= 8 for p, row in zip(prompts, short, strict=True) for r in row)
    assert max(len(r) for r in short[0]) > max(len(r) for r in short[1])


def test_an_adapted_policy_samples_with_its_adapters(base):
    model, tokenizer = adapt(load(base), LoraConfig(rank=2), seed=0).eval(), load_tokenizer(base)
    prompts, uniforms = [tokenizer("w1 w2").input_ids], np.random.default_rng(3).random((1, 8, 8))
    before = sample(model, tokenizer, prompts, uniforms, 64, 1000)
    assert before == sample(load(base), tokenizer, prompts, uniforms, 64, 1000)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(generator=torch.Generator().manual_seed(0))
    assert before != sample(model, tokenizer, prompts, uniforms, 64, 1000)


@pytest.mark.parametrize(
    "method",
    [
        create("rloo", samples=4, beta=0.01),
        create("grpo", samples=4, updates=2),
        create("grpo", samples=4, beta=0.0),
        create("morlhf", samples=4, beta=0.01),
        create("dapo", samples=4),
        create("gspo", samples=4),
        create("cispo", samples=4),
        create("dr_grpo", samples=4),
        create("reinforce_pp", samples=4),
        create("online_dpo", samples=4),
    ],
    ids=lambda method: f"{type(method).__name__} {method.updates} {getattr(method, 'beta', None)}",
)
def test_the_policy_follows_the_reward(method, base, pairs, tmp_path):
    result = run(base, pairs, tmp_path / "out", method, config=replace(CONFIG, max_steps=16))
    rewards = metric(result, "reward")
    assert np.mean(rewards[-4:]) > np.mean(rewards[:2]) + 0.15
    assert result.steps == 16 and result.health["chosen_logp_change"] > result.health["rejected_logp_change"]
    sampled = sum(metric(result, "response_tokens")[:: method.updates]) * 8 * 4
    assert result.tokens > sampled  # those sampled, and those learned from


def test_two_runs_are_bit_identical_and_micro_batches_change_little(base, pairs, tmp_path):
    config = replace(CONFIG, max_steps=3)
    one, two = (run(base, pairs, tmp_path / name, config=config) for name in ("one", "two"))
    assert same_weights(one.checkpoint, two.checkpoint)
    split = run(base, pairs, tmp_path / "split", config=replace(config, micro_batch_tokens=60))
    assert metric(split, "reward") == pytest.approx(metric(one, "reward"), abs=1e-6)
    assert metric(split, "grad_norm/policy") == pytest.approx(metric(one, "grad_norm/policy"), rel=1e-3)
    other = run(base, pairs, tmp_path / "other", config=replace(config, seed=1))
    assert metric(other, "reward") != metric(one, "reward")


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("lora", [None, LoraConfig(rank=2)], ids=["full", "lora"])
def test_a_resumed_run_ends_bit_identical(lora, base, pairs, tmp_path):
    method = create("grpo", samples=3, updates=2)
    config = replace(CONFIG, max_steps=8, checkpoint_every=4, lora=lora)
    whole = run(base, pairs, tmp_path / "whole", method, config)

    def interrupt(progress):
        if progress.step == 6:
            raise Interrupt

    with pytest.raises(Interrupt):
        run(base, pairs, tmp_path / "parts", method, config, progress=interrupt)
    assert torch.load(state_file(tmp_path / "parts"), weights_only=True)["step"] == 4
    resumed = run(base, pairs, tmp_path / "parts", method, config)
    assert same_weights(resumed.checkpoint, whole.checkpoint)
    assert resumed.tokens == whole.tokens and resumed.health == whole.health


def test_the_first_update_is_the_policy_gradient(base, pairs, tmp_path):
    """All rewards equal and no reference: nothing to learn, exactly."""
    flat = run(
        base, pairs, tmp_path / "flat", create("grpo", samples=4, beta=0.0), replace(CONFIG, max_steps=2),
        reward=lambda prompts, responses: np.full(len(responses), 0.7),
    )  # fmt: skip
    assert metric(flat, "grad_norm/policy") == [0.0, 0.0]
    assert same_weights(flat.checkpoint, base)


def test_what_cannot_be_is_refused(base, pairs, tmp_path):
    with pytest.raises(ValueError, match="DPO learns from given responses"):
        run(base, pairs, tmp_path / "out", create("dpo"))
    with pytest.raises(ValueError, match=r"checkpoint_every \(3\) must be a multiple of updates \(2\)"):
        run(base, pairs, tmp_path / "out", create("grpo", updates=2), replace(CONFIG, checkpoint_every=3))
    with pytest.raises(ValueError, match="the reward of a sample for p.* is nan"):
        run(base, pairs, tmp_path / "out", reward=lambda prompts, responses: np.full(len(responses), np.nan))


class TwoObjectives:
    """Good words and short responses, of which the second counts twice."""

    objective_weights = (1.0, 2.0)

    def by_objective(self, prompts, responses):
        short = np.array([-float(len(text.split())) for text in responses])
        return np.stack([share_of_good_words(prompts, responses), short], axis=1)

    def __call__(self, prompts, responses):
        return self.by_objective(prompts, responses) @ np.array(self.objective_weights)


def test_rewards_by_objective_reach_the_method(base, pairs, tmp_path):
    """Both objectives improve; the reward that is shown is their weighted sum."""
    method = create("gdpo", samples=4, beta=0.0)
    result = run(base, pairs, tmp_path / "out", method, config=replace(CONFIG, max_steps=16), reward=TwoObjectives())
    rewards, lengths = metric(result, "reward"), metric(result, "response_tokens")
    assert np.mean(rewards[-4:]) > np.mean(rewards[:2]) + 0.5
    assert np.mean(lengths[-4:]) < np.mean(lengths[:2])
    with pytest.raises(ValueError, match="GDPO needs a reward by objective"):
        run(base, pairs, tmp_path / "single", method)
