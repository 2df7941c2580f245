"""On-policy methods in an experiment: plans and scores like those of other methods."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.inputs.sample_rewards import SampleReward
from harness.plan.cells import make_plan
from harness.plan.designer import declared_rewards
from harness.plan.estimate import seconds
from harness.spec.loading import load
from suites.oracle.judge import oracle_reward
from suites.oracle.world import World
from tests.paths import TOY

DECLARED = declared_rewards(load(TOY), ["readability"]).declared
GRPO = "methods.grpo={sweep: {weight: [0.0, 1.0]}, parameters: {samples: 4}}"


def policies(*overrides):
    return {cell.label: cell.policy for cell in make_plan(load(TOY, overrides)).cells}


def test_an_on_policy_method_is_planned_with_what_judges_it():
    planned = policies(GRPO, "methods.rloo={}")
    with_designer, without = planned["grpo weight=1"], planned["grpo weight=0"]
    assert with_designer.kind == without.kind == planned["rloo"].kind == "align_online"
    assert set(with_designer.inputs) == {"base", "data", "toxicity"}
    assert set(without.inputs) == {"base", "data"} and without.parameters["weights"] == {}
    assert with_designer.parameters["judge"] == "oracle"
    scorers = ("suites.style.readability", "suites.toxicity.scorer")
    method, judge = "trainers.methods.grpo", "suites.judges.oracle"
    assert with_designer.code == (method, *scorers, judge) and without.code == (method, judge)
    assert seconds(with_designer) > seconds(planned["dpo beta=0.1"])


def test_a_reward_model_judges_where_the_judge_is_one():
    planned = policies(GRPO, "judge={kind: reward_model, training: {epochs: 1}}")
    assert planned["grpo weight=1"].inputs["judge"].kind == "train_judge"


def test_methods_on_tokens_and_samples_leave_the_others_keys_alone():
    before, after = policies(), policies(GRPO, "methods.oppo={}")
    assert all(after[label].key == stage.key for label, stage in before.items())
    by_token, by_sum = after["oppo"].inputs["reference"], after["dpo beta=0.1"].inputs["reference"]
    assert by_token.key != by_sum.key and by_token.parameters["token_level"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ([GRPO, "rewards={}"], "methods.(upo|modpo|grpo): .* needs designer rewards"),
        (
            ["methods.grpo={parameters: {samples: 1}}"],
            "methods.grpo: GRPO: samples must be a whole number of at least 2",
        ),
        (["methods.rloo={parameters: {sample: 4}}"], "methods.rloo: .*did you mean 'samples'"),
        (["methods.rloo={}", "judge=null"], "judge: is missing"),
        (
            ["methods.rloo={}", "judge={kind: local_lm, model: ./judge}"],
            "methods.rloo: rloo needs the users' reward as a number, and a judge of kind local_lm only compares",
        ),
        (["methods.grpo={data: {step: relabel}}"], "methods.grpo.data: grpo learns from its own samples"),
        (["methods.grpo={references: [base]}"], "methods.grpo.references: grpo learns from its own samples"),
        (
            ["methods.rpo={parameters: {encoder: /no/such}}"],
            "methods.rpo.parameters.encoder: /no/such is no model folder",
        ),
    ],
)
def test_what_is_missing_is_told_before_anything_runs(overrides, message):
    with pytest.raises(UsageError, match=message):
        make_plan(load(TOY, overrides))


def test_without_designer_weight_no_designer_reward_is_needed():
    given = ["methods={}", "methods.grpo={parameters: {weight: 0.0}}", "rewards={}", "suites=[win_rate]"]
    assert policies(*given)["grpo"].parameters["weights"] == {}


def test_the_reward_of_a_sample_is_the_users_and_w_times_the_designers():
    """Readability alone is the designer; the third text is off the grammar and has the worst of everything."""
    world = World.build()
    prompt, (first, second) = world.prompts[0].text, world.responses(0)[:2]
    prompts, texts = [prompt] * 3, [f" {first}", f" {second}", " hm hm"]
    user = oracle_reward(world)(prompts, texts)
    assert user.tolist() == [world.reward[0, 0], world.reward[0, 1], world.reward[0].min()]
    from suites.style.readability import readability

    reward = SampleReward(oracle_reward(world), {"readability": 0.5}, DECLARED, 2.0, world=world)
    designer = np.array([readability(text) for text in texts[:2]] + [0.0])
    np.testing.assert_allclose(reward(prompts, texts), user + 2.0 * 0.5 * designer)
    parts = reward.by_objective(prompts, texts)
    np.testing.assert_array_equal(parts, np.stack([user, designer], axis=1))
    np.testing.assert_allclose(parts @ reward.objective_weights, reward(prompts, texts))
    blind = SampleReward(oracle_reward(world), {"readability": 0.5}, DECLARED, 0.0, world=world)
    np.testing.assert_array_equal(blind(prompts, texts), user)
    assert blind.objective_weights == [1.0] and blind.by_objective(prompts, texts).shape == (3, 1)


def test_an_empty_sample_is_worth_nothing_to_the_designer():
    reward = SampleReward(lambda prompts, responses: np.zeros(len(responses)), {"readability": 1.0}, DECLARED, 1.0)
    values = reward(["Hi"] * 2, ["", " The cat sat on the mat and slept."])
    assert values[0] == 0.0 and values[1] > 0.0
