"""Plans of entries that decode or steer policies, and the faults that they name."""

from __future__ import annotations

import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import dump, load
from tests.harness.steer.conftest import STEER


def test_a_steered_entry_has_a_cell_for_each_context_size_and_no_policy(plan):
    cells = [cell for cell in plan.cells if cell.entry == "contrast"]
    assert [(cell.sweep, cell.sweep_value) for cell in cells] == [("context", 0), ("context", 2)]
    assert all(cell.policy is cell.generate is None and not cell.trained for cell in cells)
    assert len({cell.point for cell in cells}) == 2


def test_a_key_depends_on_the_kinds_in_use_and_on_no_others(stage_of):
    assert set(stage_of("contrast").code) == {
        "suites.decoding.kinds.contrast",
        "harness.inputs.steering.kinds.posterior",
    }
    assert stage_of("few_shot").key != stage_of("few_shot", 2).key


def test_a_policy_for_each_user_learns_from_that_user_alone(stage_of):
    inputs = stage_of("upo_each").inputs
    users = {name: source for name, source in inputs.items() if name.startswith("user_")}
    assert len(users) == 3
    for name, policy in users.items():
        assert policy.inputs["data"].parameters["person"] == name.removeprefix("user_")


def test_a_resolved_experiment_is_read_back_as_the_same():
    experiment = load(STEER)
    text = dump(experiment)
    assert "decoded:" in text and "users:" in text and "users:" not in dump(load("bench"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ["methods.contrast.decoding.kind=contrats"],
            "methods.contrast.decoding.kind: unknown decoding kind 'contrats'; did",
        ),
        (
            ["methods.contrast.decoding.kapa=1"],
            "methods.contrast.decoding: unknown setting 'kapa'; did you mean 'kappa'",
        ),
        (["methods.contrast.decoding.kappa=-3"], "methods.contrast.decoding: kappa must be in"),
        (
            ["methods.contrast.steer.kind=postirior"],
            "methods.contrast.steer.kind: unknown steer kind 'postirior'; did you",
        ),
        (
            ["methods.best_of_4.steer.kind=few_shot"],
            "methods.best_of_4.steer: best_of_n needs a user's reward; add steer",
        ),
        (["methods.proxy.policies.anti=nobody"], "methods.proxy.policies.anti: unknown policy 'nobody'"),
        (
            ["methods.proxy.policies={expert: polite}"],
            "methods.proxy.policies: proxy needs a policy 'anti'; name an entry",
        ),
        (["methods.proxy.policies.other=dpo"], "methods.proxy.policies: proxy has no policy 'other'"),
        (
            ["methods.proxy.policies.anti=upo_each"],
            "methods.proxy.policies.anti: 'upo_each' has a policy for each user",
        ),
        (
            ["methods.dpo.sweep={beta: [0.1, 0.2]}", "methods.proxy.policies.anti=dpo"],
            "methods.proxy.policies.anti: 'dpo' has 2",
        ),
        (["methods.contrast.steer=null"], "methods.contrast.steer: "),
        (["users.contexts=[0, 2, 2]"], "users.contexts: needs distinct sizes"),
        (["users.contexts=[0, 5]"], "users.contexts: 5 pairs are more than the 4 of each user"),
        (["decoding.backend=vllm"], "methods.contrast.decoding: vLLM reads one context at each step"),
    ],
)
def test_faults_are_one_line_that_names_the_key(changes, message):
    with pytest.raises(UsageError, match=f"{message.replace('[', '.').replace('?', '.')}"):
        make_plan(load(STEER, changes))
