"""Cost of served models in a plan, and costs that entries from elsewhere do not have."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.plan.bills import bills
from harness.plan.cells import make_plan
from harness.spec.loading import load
from tests.paths import TOY

ENDPOINT = {"base_url": "https://models.example/v1", "price": {"input": 2.0, "output": 8.0}, "max_cost": 50}
PROMPTS = 96  # 24 problems in four situations kept for testing
RUBRIC = {
    "kind": {"rubric": "Is it kind?", "model": "m", "scale": [1, 5], "endpoint": ENDPOINT, "max_tokens": 40,
             "direction": "maximize", "bounds": [1, 5]},
}  # fmt: skip


def plan(*overrides):
    return make_plan(load(TOY, list(overrides)))


def test_a_served_entry_and_a_rubric_are_priced_in_the_plan():
    entry = {"endpoint": ENDPOINT, "model": "big", "system": "Be brief."}
    planned = plan(f"methods.them={json.dumps(entry)}", f"objectives={json.dumps(RUBRIC)}")
    by_key = {bill.key: bill for bill in bills(planned.stages.values())}
    assert set(by_key) == {"methods.them", "objectives.kind"}
    assert by_key["methods.them"].questions == PROMPTS
    assert by_key["methods.them"].output_tokens == PROMPTS * 32  # the decoding's max_new_tokens
    rubric = by_key["objectives.kind"]
    assert rubric.questions == len(planned.cells) * PROMPTS and rubric.output_tokens == 40 * rubric.questions
    assert rubric.dollars == pytest.approx((2 * rubric.input_tokens + 8 * rubric.output_tokens) / 1e6)


def test_a_rubric_that_is_a_reward_is_asked_about_the_pairs_too():
    rewards = "rewards={kind: 1.0}"
    (measured,) = bills(plan(f"objectives={json.dumps(RUBRIC)}").stages.values())
    planned = plan(
        f"objectives={json.dumps(RUBRIC)}", rewards, "suites=[style, win_rate]", "reference_point={readability: 0}"
    )
    (bill,) = bills(planned.stages.values())
    assert bill.questions == measured.questions + 2 * 256  # both responses of the pairs


def test_the_cap_names_the_endpoint():
    dear = json.dumps({**RUBRIC, "kind": {**RUBRIC["kind"], "endpoint": {**ENDPOINT, "max_cost": 0.01}}})
    with pytest.raises(UsageError, match=r"^objectives.kind m: .*; raise objectives.kind.endpoint.max_cost, or ask"):
        plan(f"objectives={dear}")


@pytest.mark.parametrize(
    ("cost", "message"),
    [
        ("generated_tokens", "is not known of methods.them, whose responses come from a file; leave it out"),
        ("trained_tokens", "is not known of methods.them, which was not trained here; leave it out"),
    ],
)
def test_a_cost_that_an_entry_would_have_for_nothing_is_no_axis(tmp_path, cost, message):
    file = tmp_path / "them.jsonl"
    file.write_text('{"prompt": "Why?", "output": "So."}\n')
    with pytest.raises(UsageError, match=f"^reference_point.{cost}: {message}$"):
        plan(f"methods.them={{generations: {file}}}", f"reference_point.{cost}=100000")
