"""Learned personal methods, from the pairs of seen users to the exact figures of unseen ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from harness.errors import UsageError
from harness.inputs.steering.contexts import contexts_of
from harness.inputs.steering.features import tastes_of
from harness.inputs.steering.kinds.latent import Latent
from harness.inputs.steering.kinds.latent_pair import LatentPair
from harness.inputs.steering.kinds.np_dpo import NPDPO
from harness.inputs.steering.pairs import records
from harness.inputs.steering.registry import steer_kinds
from harness.inputs.steering.soft_prompts import PromptedSteps
from harness.inputs.steering.tables import decode
from harness.plan.cells import make_plan
from harness.spec.loading import load
from harness.stages.score_steer import scene_of
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from suites.checkpoints import load_causal_lm
from suites.decoding.kinds.plain import Plain
from suites.decoding.kinds.winner_loser import LOSER, WinnerLoser
from suites.decoding.registry import Guess
from suites.oracle.population import Population, PopulationSpec
from suites.oracle.world import World
from tests.harness.steer.conftest import STEER

ENTRIES = ("lore", "neural_reward", "soft_prompt", "two_prompts", "neural_policy")


@pytest.fixture(scope="module")
def scene_and_contexts(stage_of, make):
    """The scene of an entry with its contexts of two pairs."""

    def made(entry: str):
        stage = stage_of(entry, 2)
        inputs = {name: make(source) for name, source in stage.inputs.items()}
        scene = scene_of({**stage.parameters, "device": "cpu"}, inputs)
        return scene, contexts_of(read_jsonl(inputs["data"] / "contexts.jsonl"), scene.population.unseen, 2)

    return made


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_is_measured_from_end_to_end(stage_of, make, entry):
    items = pd.read_parquet(make(stage_of(entry, 2)) / "items.parquet")
    steered = items.pivot(index="item", columns="objective", values="value")
    measures = pd.read_parquet(make(stage_of(entry, 2)) / "measures.parquet").set_index("name").value
    assert len(steered) == 3 and steered.user_value.between(0, 1).all()
    # One policy for all users has a gain of exactly 0.
    assert abs(measures["steering_gain"]) > 1e-12 and measures["adaptation_seconds"] > 0
    differences = (steered.user_regret - steered.user_bayes_regret).to_numpy()
    # No few-shot method is better than the Bayes policy on average, beyond the error of three users.
    assert differences.mean() > -2 * differences.std(ddof=1) / 3**0.5


def test_soft_prompts_of_no_rows_are_the_base_and_equal_prompts_cancel(scene_and_contexts):
    scene, contexts = scene_and_contexts("two_prompts")
    base = decode(Plain(), Guess(), scene)
    steps = scene.steps["base"]
    none = Guess(policies={"base": PromptedSteps(steps, torch.zeros(0, 32))})
    np.testing.assert_array_equal(decode(Plain(), none, scene).table.conditional, base.table.conditional)
    winner, loser = (PromptedSteps(steps, torch.full((2, 32), value)) for value in (0.1, -0.1))
    pair, same = (Guess(policies={"base": winner, LOSER: other}) for other in (loser, winner))
    plain = decode(Plain(), pair, scene).table.conditional
    np.testing.assert_array_equal(decode(WinnerLoser(scale=0.0), pair, scene).table.conditional, plain)
    np.testing.assert_allclose(decode(WinnerLoser(scale=3.0), same, scene).table.conditional, plain, rtol=1e-6)
    assert np.abs(decode(WinnerLoser(scale=3.0), pair, scene).table.conditional - plain).max() > 1e-4
    assert decode(Plain(), pair, scene).decode_tokens == pytest.approx(base.decode_tokens + 2, abs=0.5)


def test_an_empty_context_is_the_unconditioned_policy_bit_for_bit(scene_and_contexts):
    scene, contexts = scene_and_contexts("neural_policy")
    guesses = NPDPO(width=8).guesses(scene, dict.fromkeys(contexts, []))
    assert len({id(guess) for guess in guesses.values()}) == 1
    guess = next(iter(guesses.values()))
    unconditioned_steps = type(scene.steps["base"])(guess.policies["base"].policy.model, scene)
    expected = decode(Plain(), Guess(policies={"base": unconditioned_steps}), scene).table
    np.testing.assert_array_equal(decode(Plain(), guess, scene).table.conditional, expected.conditional)
    with pytest.raises(ValueError, match="is steered by a context of pairs"):
        load_causal_lm(scene.trained / CHECKPOINT)


def test_the_order_of_a_context_does_not_matter(scene_and_contexts):
    scene, contexts = scene_and_contexts("neural_policy")
    kind = NPDPO(width=8)
    turned = {user: list(reversed(pairs)) for user, pairs in contexts.items()}
    for forth, back in zip(kind.guesses(scene, contexts).values(), kind.guesses(scene, turned).values(), strict=True):
        np.testing.assert_allclose(forth.policies["base"].z, back.policies["base"].z, atol=1e-6)


def test_rewards_on_the_tastes_recover_every_seen_user_s():
    from trainers.personal.lore import fit_lore

    population = Population.build(World.build(), PopulationSpec(seen=3, unseen=1, signed=True, scale=2.0))
    rows = population.pairs(9000)
    owners = [population.seen.index(row["user"]) for row in rows]
    features = tastes_of(population, records(rows))
    lore = fit_lore(features[:, 0] - features[:, 1], owners, rank=8)
    tastes = np.moveaxis(population.tastes[:, :20], 0, -1)
    for user, weights in zip(population.seen, lore.weights, strict=True):
        truth = population.reward(population.weights_of(user))[:20]
        assert np.corrcoef(truth.ravel(), lore.reward(tastes, weights).ravel())[0, 1] > 0.99


def test_kinds_declare_what_is_trained_and_check_their_settings():
    for kind, stage in (("lore", "train_lore"), ("latent", "train_latent"), ("np_dpo", "train_np_dpo")):
        assert steer_kinds()[kind].trained == stage
    for cls, settings, fault in (
        (Latent, {"tokens": -1}, "tokens"),
        (LatentPair, {"steps": 0}, "steps"),
        (NPDPO, {"width": 12}, "width must be a multiple of 8, not 12"),
        (steer_kinds()["np_btl"], {"features": "words"}, "features must be states or tastes, not 'words'"),
    ):
        with pytest.raises(ValueError, match=fault):
            cls(**settings)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["methods.odd={decoding: {kind: winner_loser}, steer: {kind: latent}}"],
            "methods.odd.steer: winner_loser needs a user's loser; add steer: {kind: latent_pair}",
        ),
        (["methods.soft_prompt.steer.tokens=-1"], "methods.soft_prompt.steer: Latent: tokens must be"),
        (
            ["methods.mixed={soup: {policies: [neural_policy, dpo]}}"],
            "methods.mixed.soup.policies",
        ),
        (["methods.proxy.policies.anti=neural_policy"], "methods.proxy.policies.anti: unknown policy 'neural_policy'"),
        (
            [
                "decoding.backend=vllm",
                *(f"methods.{name}=null" for name in ("contrast", "mod", "proxy", "controlled", "lore")),
            ],
            "vLLM decodes checkpoints as they are, and latent makes a policy of each user",
        ),
    ],
)
def test_faults_are_one_line_that_names_the_key(changes, message):
    with pytest.raises(UsageError) as fault:
        make_plan(load(STEER, changes))
    assert message in str(fault.value) and "\n" not in str(fault.value)
