"""Responses by decoding kinds in an ordinary experiment: one way for everybody, scored by any suite of responses."""

from __future__ import annotations

import numpy as np
import pytest

from harness.errors import UsageError
from harness.plan.cells import make_plan
from harness.spec.loading import load
from harness.stages import generate, generate_decoded
from harness.stages.generate_decoded import chosen
from harness.store.tables import read_generations
from suites.decoding.kinds.best_of_n import BestOfN
from suites.generation.decoding import Decoding
from tests.harness.steer.conftest import STEER

ENTRIES = [
    "suites=[steer, style]",
    "decoding.samples=2",
    'methods.everybody={decoding: {kind: contrast, kappa: 1.0, instruction: "be polite . "}}',
    "methods.best={decoding: {kind: best_of_n, n: 3}}",
    "methods.geometric={decoding: {kind: product, weights: {a: 0.5, b: 0.5}}, policies: {a: base, b: base}}",
]


@pytest.fixture(scope="module")
def generations(make):
    """The responses of each entry."""
    plan = make_plan(load(STEER, ENTRIES))
    cells = {cell.entry: cell for cell in plan.cells if cell.entry in ("everybody", "best", "geometric", "base")}
    assert all(set(cell.scores) == {"style"} for name, cell in cells.items() if name != "base")
    return {name: read_generations(make(cell.generate)) for name, cell in cells.items()}


def test_responses_are_to_the_prompts_without_the_instruction(generations):
    assert len({tuple(g.prompt for g in rows) for rows in generations.values()}) == 1
    assert not any("be polite" in g.prompt for g in generations["everybody"])
    assert [g.item for g in generations["best"]] == [g.item for g in generations["base"]]
    assert [g.response for g in generations["everybody"]] != [g.response for g in generations["base"]]


def test_a_product_of_one_policy_with_itself_samples_what_the_policy_samples(generations):
    same = [a.response == b.response for a, b in zip(generations["geometric"], generations["base"], strict=True)]
    assert np.mean(same) > 0.99  # rounding of the mixture moves a token only at the edge of a quantile


def test_the_best_of_three_has_the_highest_reward_of_its_three_samples(make, monkeypatch, tmp_path):
    """With the length of a response for a reward."""

    def lengths(*_):
        return lambda prompts, responses: np.array([len(response) for response in responses], float)

    monkeypatch.setattr(generate_decoded, "user_reward", lengths)
    cells = {cell.entry: cell for cell in make_plan(load(STEER, ENTRIES)).cells}
    stage, plain = cells["best"].generate, cells["base"].generate
    inputs = {name: make(source) for name, source in stage.inputs.items()}
    generate_decoded.run({**stage.parameters, "device": "cpu"}, inputs, tmp_path)
    best = read_generations(tmp_path)
    six = {**plain.parameters, "decoding": {**plain.parameters["decoding"], "samples": 6}, "device": "cpu"}
    (tmp_path / "six").mkdir()
    generate.run(six, {name: make(source) for name, source in plain.inputs.items()}, tmp_path / "six")
    samples = {g.item: g.response for g in read_generations(tmp_path / "six")}
    for row in best:
        own = [samples[f"{row.cluster}#{3 * row.trial + k}"] for k in range(3)]
        assert row.response == max(own, key=len)


def test_choosing_keeps_one_of_every_n_samples_as_its_prompt_s_trial(generations):
    samples = generations["base"][:4]
    picked = chosen(BestOfN(2), samples, np.array([0.0, 1.0, 3.0, 2.0]), Decoding(8))
    assert [g.response for g in picked] == [samples[1].response, samples[2].response]
    assert [(g.item, g.trial) for g in picked] == [
        (f"{g.cluster}#{t // 2}", t // 2) for g, t in zip(samples[::2], (0, 0), strict=True)
    ]


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("{decoding: {kind: contrast}}", "contrast needs a user's frame; add steer"),
        ("{decoding: {kind: product}}", "product needs a user's weights; add steer"),
        (
            "{decoding: {kind: prefix_score}}",
            "the exact value of a prefix is known for the users of a population alone",
        ),
    ],
)
def test_what_is_needed_of_a_user_has_to_come_from_somewhere(entry, message):
    with pytest.raises(UsageError, match=message):
        make_plan(load(STEER, [f"methods.everybody={entry}"]))
