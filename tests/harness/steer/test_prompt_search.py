"""The search for a prompt in the oracle world: its roles, and its continuation after a kill."""

from __future__ import annotations

import json

import numpy as np
import pytest

from harness.inputs.steering.kinds.drpo import DRPO
from harness.inputs.steering.prompt_roles import MOST, Logged, OracleRoles, in_order, tastes_of
from harness.inputs.steering.scene import Scene
from harness.stages import prompt_search
from harness.store.calls import Calls
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from suites.oracle.instructions import PHRASES, instruction
from suites.prompt_search import Step

SETTINGS = {"depth": 3, "beam": 2, "actions": 2, "extra": 1}


@pytest.fixture(scope="module")
def folders(stage_of, make):
    inputs = {name: make(source) for name, source in stage_of("prompted").inputs.items()}
    return {"data": inputs["data"], "base": inputs["policy_base"]}


@pytest.fixture(scope="module")
def roles(folders) -> OracleRoles:
    from harness.inputs.population import population_of

    population = population_of(folders["data"])
    scene = Scene(population, population.world.indices("train")[:3], {"base": folders["base"] / CHECKPOINT})
    return OracleRoles(scene, population.weights[: population.spec.seen].mean(axis=0))


def searched(folders, out) -> dict:
    out.mkdir(exist_ok=True)
    prompt_search.run({"settings": SETTINGS, "seed": 0}, folders, out)
    return json.loads((out / prompt_search.RESULT).read_text())


@pytest.fixture(scope="module")
def whole(folders, tmp_path_factory):
    out = tmp_path_factory.mktemp("search")
    return searched(folders, out), read_jsonl(out / prompt_search.CALLS)


class Killed(BaseException):
    """A process that ends."""


@pytest.mark.parametrize("every", [7])
def test_a_search_that_is_killed_at_every_kth_call_ends_alike_and_makes_no_call_twice(
    every, whole, folders, tmp_path, monkeypatch
):
    result, calls = whole
    append, made = Calls._append, []

    def fragile(self, call):
        append(self, call)
        made.append(call["key"])
        if len(made) % every == 0:
            raise Killed

    monkeypatch.setattr(Calls, "_append", fragile)
    for _ in range(len(calls)):
        try:
            again = searched(folders, tmp_path / "out")
            break
        except Killed:
            continue
    assert again == result
    assert made == [call["key"] for call in calls] and len(set(made)) == len(made)


def test_a_call_that_a_kill_cut_off_is_made_again(tmp_path):
    path = tmp_path / "calls.jsonl"
    calls = Calls(path)
    calls("judge", "a", lambda: "café")
    calls("judge", "b", lambda: 2)
    path.write_bytes(path.read_bytes()[:-7])
    again = Calls(path)
    assert again("judge", "a", lambda: None) == "café" and again("judge", "b", lambda: 3) == 3
    assert [row["reply"] for row in read_jsonl(path)] == ["café", 3]
    assert again.made["judge"] == 1


def test_calls_are_counted_and_stay_within_the_bound(whole):
    result, calls = whole
    bound = DRPO(**SETTINGS).most_calls
    assert all(0 < result["calls"][role] <= most for role, most in bound.items())
    assert sum(result["calls"].values()) + sum(result["calls_to_confirm"].values()) == len(calls)


def test_prompts_are_sets_of_phrases(whole):
    for prompt in whole[0]["best"]:
        tastes = tastes_of(prompt)
        assert prompt == instruction(in_order(tastes)) and len(tastes) <= MOST
        assert not any(f"-{taste}" in tastes for taste in tastes)


def test_scores_are_quantiles_under_the_behaviour_policy(roles):
    """Their mean under μ is 3, the middle of 1 to 5, for every prompt and taste."""
    query, number = roles.scene.prompts[0], 0
    responses = roles.scene.population.world.responses(int(roles.scene.rows[0]))
    scores = [roles.evaluate(query, answer, list(PHRASES))["manners"] for answer in responses]
    assert min(scores) >= 1.0 and max(scores) <= 5.0
    assert np.dot(roles.scene.mu[number], scores) == pytest.approx(3.0)
    order = np.argsort(roles.scene.population.tastes[0, roles.scene.rows[0]])
    assert np.all(np.diff(np.array(scores)[order]) >= 0)


def test_answers_are_drawn_from_the_policy_behind_the_prompt(roles):
    """One draw for each prompt and query, the same whenever it is asked; other seeds draw otherwise, by the policy's law."""
    query = roles.scene.prompts[1]
    assert roles.answer("be polite . ", query) == roles.answer("be polite . ", query)
    answers = [OracleRoles(roles.scene, roles.weights, seed).answer("", query) for seed in range(400)]
    responses = list(roles.scene.population.world.responses(int(roles.scene.rows[1])))
    p = np.exp(roles._logps("", 1))
    likeliest = int(p.argmax())
    share = np.mean([answer == responses[likeliest] for answer in answers])
    expected = p[likeliest] / p.sum()
    assert abs(share - expected) < 4 * np.sqrt(expected * (1 - expected) / len(answers))


def test_proposals_change_one_phrase_towards_the_lowest_aspect(roles):
    step = Step("be rude . be brief . ", roles.scene.prompts[0], "", {"manners": 1.5, "length": 4.0})
    proposals = roles.propose(step, [], 100)
    assert instruction(["manners", "-length"]) in proposals and step.prompt not in proposals
    assert all(len(set(tastes_of(each)) ^ {"-manners", "-length"}) <= 3 for each in proposals)
    assert instruction(["manners", "-length"]) not in roles.propose(step, [instruction(["manners", "-length"])], 100)


def test_a_logged_call_is_not_made_again(roles, tmp_path):
    calls = Calls(tmp_path / "calls.jsonl")
    logged = Logged(roles, calls)
    query = roles.scene.prompts[0]
    answers = [logged.answer("", query), logged.answer("", query)]
    assert answers[0] == answers[1] == roles.answer("", query) and calls.made["answer"] == 1


def test_all_users_have_the_prompt_of_the_search(whole, folders, tmp_path, roles):
    searched(folders, tmp_path / "out")
    scene = Scene(roles.scene.population, roles.scene.rows, roles.scene.policies, trained=tmp_path / "out")
    guesses = DRPO(**SETTINGS).guesses(scene, {"ann": [], "bo": []})
    assert [guess.frame.prefix for guess in guesses.values()] == [whole[0]["prompt"]] * 2
