"""Population of users in an experiment: its data, one user's data, and plans that do not have it."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import load
from harness.store.jsonl import read_jsonl
from suites.oracle.world import World, WorldSpec
from tests.harness.steer.conftest import STEER
from tests.paths import TOY


@pytest.fixture(scope="module")
def folders(plan, make):
    """Artifacts of the world, of its population and of one user."""
    stages = {
        stage.kind: stage
        for stage in plan.stages.values()
        if stage.parameters.get("person", "unseen-01") == "unseen-01"
    }
    return {kind: make(stages[kind]) for kind in ("world", "population", "person")}


def test_a_plan_without_a_population_has_none_in_its_keys():
    """Stages of other experiments keep their keys: nothing of a population is in their code or parameters."""
    from harness.plan.fingerprint import closure

    kinds = ("world", "tokenizer", "base", "train_toxicity")
    stages = [stage for stage in make_plan(load(TOY)).stages.values() if stage.kind in kinds]
    assert "population" not in json.dumps([stage.parameters for stage in stages])
    modules, _ = closure(tuple({name for stage in stages for name in (stage.module, *stage.code)}))
    assert {name for name in modules if "population" in name or "personal" in name} == set()


def test_a_population_leaves_the_world_s_artifact_and_key_as_they_are(plan, folders):
    stage = next(stage for stage in plan.stages.values() if stage.kind == "world")
    without = make_plan(load(STEER, ["data.population=null", "suites=[exact]", "methods={sft: {sweep: {}}}"]))
    assert stage.key in without.stages
    pairs = World.build(WorldSpec(**stage.parameters["world"])).pairs(96, 0)
    assert [row["chosen"] for row in read_jsonl(folders["world"] / "pairs.jsonl")] == [f" {p['chosen']}" for p in pairs]


def test_policies_learn_from_the_users_pairs_and_bases_from_the_world(plan):
    kinds = {stage.kind: stage.inputs["data"].kind for stage in plan.stages.values() if "data" in stage.inputs}
    assert kinds["base"] == kinds["tokenizer"] == "instructed"
    trained = {stage.label: stage for stage in plan.stages.values() if stage.kind == "align"}
    assert trained["dpo tiny seed 0"].inputs["data"].kind == "population"
    one = trained["upo_one tiny seed 0 unseen-01"]
    assert one.inputs["data"].kind == one.inputs["rewards"].kind == "person"
    assert one.parameters["weights"] == {"reward": 1.0}


def test_files_of_a_population(folders):
    pairs = read_jsonl(folders["population"] / "pairs.jsonl")
    users = json.loads((folders["population"] / "users.json").read_text())
    assert len(pairs) == 96 and {row["user"] for row in pairs} == {u for u in users if users[u]["seen"]}
    contexts = read_jsonl(folders["population"] / "contexts.jsonl")
    assert {row["user"] for row in contexts} == {u for u in users if not users[u]["seen"]} and len(contexts) == 12
    assert all(row[side].startswith(" ") for row in contexts for side in ("chosen", "rejected"))
    assert all(abs(sum(user["weights"].values()) - 1) < 1e-9 for user in users.values())


def test_a_user_s_pairs_have_the_user_s_rewards(folders):
    rewards = pd.read_parquet(folders["person"] / "rewards.parquet")
    assert len(rewards) == 2 * 96 and rewards.reward.between(0, 1).all()
    means = rewards.groupby("response").reward.mean()
    assert means["chosen"] > means["rejected"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["methods.upo_one.person=unsen-01"], "methods.upo_one.person: unknown user or taste 'unsen-01'; did you mean"),
        (["data.population=null", "suites=[exact]"], "methods.upo_one.person: needs users; add data.population"),
        (["data.population.seen=0"], "data.population: seen must be at least 1"),
        (["data.population.sen=3"], "data.population: unknown setting 'sen'; did you mean 'seen'?"),
    ],
)
def test_senseless_populations_are_refused_in_one_line(changes, message):
    with pytest.raises(UsageError, match=f"^{message.replace('?', '.')}"):
        make_plan(load(STEER, changes))


def test_a_person_takes_no_data_step():
    with pytest.raises(UsageError, match="leave out 'data'"):
        load(STEER, ["methods.upo_one.data={step: relabel}"])
