"""Judges in an experiment: refusals before the run, cost estimates, and one real judged stage."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from harness.errors import UsageError
from harness.plan.bills import bills
from harness.plan.cells import make_plan
from harness.plan.estimate import tokens
from harness.plan.judging import judged, require_key
from harness.plan.stage import Cache, Stage
from harness.records import Generation, to_frame
from harness.run.assemble import _objectives
from harness.run.downloads import _REQUIRE, require_downloads
from harness.run.job import Job, execute
from harness.spec.loading import dump, load
from harness.store.store import Store
from suites.registry import objectives
from tests.harness.plan.pairs import write_pairs
from tests.paths import TOY
from tests.suites.judges.conftest import Answer, completion, server  # noqa: F401

REMOTE = ["judge.kind=endpoint", "judge.model=m", "judge.endpoint.base_url=https://judge.example/v1"]
PRICED = [*REMOTE, "judge.endpoint.price={input: 2.0, output: 8.0}", "judge.endpoint.max_cost=50"]


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["judge.kind=endpoint"], "judge: a judge of kind endpoint needs a 'model'"),
        (["judge.kind=endpoint", "judge.model=m"], "'endpoint' (base_url ...) belongs to a judge of kind endpoint"),
        (["judge.kind=local_lm"], "needs a 'model'"),
        (["judge.prompt=upo"], "'prompt' belongs to a judge of kind local_lm or endpoint"),
        (["judge.backend=vllm"], "'backend' belongs to a judge of kind local_lm"),
        (REMOTE, "needs a 'price'"),
        ([*PRICED, "judge.endpoint.base_url=judge.example"], "is no URL"),
        ([*PRICED, "judge.endpoint.max_cots=1"], "judge.endpoint.max_cots: unknown key; did you mean 'max_cost'?"),
        (["judge.second={kind: reward_model}"], "a second reward model must be named"),
        (["judge.second.kind=oracle", "judge.second.second.kind=oracle"], "there is no third judge"),
    ],
)
def test_a_judge_that_is_not_whole_is_one_clear_error(overrides, complaint):
    with pytest.raises(UsageError) as error:
        load(TOY, overrides)
    assert complaint in str(error.value) and "\n" not in str(error.value)


def test_an_unknown_prompt_template_is_told_before_the_run():
    with pytest.raises(UsageError, match=r"judge.prompt: no prompt template 'upi'; known are alpaca_eval, upo"):
        make_plan(load(TOY, [*PRICED, "judge.prompt=upi"]))


@pytest.mark.parametrize(
    ("overrides", "key"),
    [
        (["decoding.backend=vllm"], "decoding.backend"),
        (["judge={kind: local_lm, model: m, backend: vllm}"], "judge.backend"),
        (["judge.second={kind: local_lm, model: m, backend: vllm}"], "judge.second.backend"),
    ],
)
def test_a_missing_package_is_one_line_that_names_the_extra(monkeypatch, overrides, key):
    monkeypatch.setattr("harness.plan.judging.find_spec", lambda package: None)
    with pytest.raises(UsageError) as error:
        make_plan(load(TOY, overrides))
    assert str(error.value) == f"{key}: the package 'vllm' is not installed: pip install 'prefrontier[vllm]'"


def test_quantised_adapters_without_their_package_are_one_line_when_planned(monkeypatch):
    """Known from the experiment alone; `trainers.config` says it, and the plan where it was asked for."""
    monkeypatch.setattr("trainers.config.find_spec", lambda package: None)
    with pytest.raises(UsageError) as error:
        make_plan(load(TOY, ["training.lora={rank: 4, bits: 4}"]))
    assert str(error.value) == "training: lora.bits needs the extra: pip install 'prefrontier[qlora]'"


def test_vllm_is_a_stage_of_its_own(monkeypatch):
    monkeypatch.setattr("harness.plan.judging.find_spec", lambda package: object())
    kinds = {cell.generate.kind for cell in make_plan(load(TOY, ["decoding.backend=vllm"])).cells}
    assert kinds == {"generate_vllm"}
    assert {cell.generate.kind for cell in make_plan(load(TOY)).cells} == {"generate"}


def test_a_key_that_is_not_set_is_told_before_the_run(monkeypatch):
    experiment = load(TOY, PRICED)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UsageError, match="judge.endpoint.key: the environment variable OPENAI_API_KEY is not set"):
        require_key(experiment)
    monkeypatch.setenv("OPENAI_API_KEY", "sesame")
    require_key(experiment)


@pytest.mark.parametrize(
    ("judge", "key"),
    [
        ("judge={kind: reward_model, model: some/model}", "judge.model"),
        ("judge.second={kind: local_lm, model: some/model}", "judge.second.model"),
    ],
)
def test_a_judge_that_cannot_be_had_is_told_before_the_run(monkeypatch, tmp_path, judge, key):
    asked = []
    monkeypatch.setitem(_REQUIRE, "model", asked.append)
    require_downloads(make_plan(load(TOY, [judge])), Store(tmp_path))
    assert [(wanted.key, wanted.name, wanted.kind) for wanted in asked] == [(key, "some/model", "model")]


def test_the_price_is_known_before_the_run_and_capped():
    plan = make_plan(load(TOY, PRICED))
    (bill,) = bills(plan.stages.values())
    prompts = 96  # 24 problems in four situations kept for testing
    assert bill.questions == len(plan.cells) * (2 * prompts + 32)
    assert bill.output_tokens == bill.questions * 160
    assert bill.dollars == pytest.approx((2 * bill.input_tokens + 8 * bill.output_tokens) / 1e6)
    with pytest.raises(UsageError, match=r"\(cap \$0.01\); raise judge.endpoint.max_cost"):
        make_plan(load(TOY, [*PRICED, "judge.endpoint.max_cost=0.01"]))


@pytest.mark.parametrize(
    ("prompts", "number"), [("{set: alpaca_eval}", 805), ("{set: vicuna, limit: 30}", 30), ("{set: FILE}", 3)]
)
def test_a_set_of_prompts_is_priced_by_its_size(prompts, number, tmp_path):
    pairs, file = tmp_path / "pairs.jsonl", tmp_path / "set.jsonl"
    write_pairs(pairs)
    file.write_text("".join(json.dumps({"prompt": f"Q{i}", "reference": "r"}) + "\n" for i in range(3)))
    given = [f"data.path={pairs}", f"data.prompts={prompts.replace('FILE', str(file))}", "methods={dpo: {}}"]
    plan = make_plan(load("hh", [*given, "seeds=[0]", *PRICED]))
    (bill,) = bills(plan.stages.values())
    assert bill.questions == len(plan.cells) * (2 * number + min(number, 32))
    assert {tokens(cell.generate) for cell in plan.cells} == {number * plan.experiment.decoding.max_new_tokens}


def test_limits_are_no_part_of_a_stages_key_and_what_is_asked_is():
    def key(*overrides):
        plan = make_plan(load(TOY, [*PRICED, *overrides]))
        return plan.cells[0].scores["win_rate"].key

    same = ["max_cost=60", "concurrency=9", "timeout=5", "max_retries=1", "price.input=3", "key=OTHER"]
    assert {key(f"judge.endpoint.{change}") for change in same} == {key()}
    other = ["judge.endpoint.revision=m-2", "judge.model=n", "judge.prompt=alpaca_eval", "judge.endpoint.pin=model"]
    assert len({key(), *(key(change) for change in other)}) == 1 + len(other)


def test_an_experiment_with_two_judges_survives_its_own_dump(tmp_path):
    experiment = load(TOY, [*PRICED, "judge.second={kind: oracle}"])
    (tmp_path / "again.yaml").write_text(dump(experiment))
    assert load(str(tmp_path / "again.yaml")) == experiment
    assert experiment.judge.identity == {
        "kind": "endpoint", "model": "m", "training": {}, "second": {"kind": "oracle", "training": {}},
        "endpoint": {"base_url": "https://judge.example/v1", "pin": "fingerprint"},
    }  # fmt: skip


def test_a_second_judge_scores_an_objective_of_its_own():
    plan = make_plan(load(TOY, ["judge.second={kind: local_lm, model: m}"]))
    for cell in plan.cells:
        first, second = cell.scores["win_rate"], cell.scores["win_rate_second"]
        assert first.inputs["generations"] is second.inputs["generations"]
        assert (first.parameters["objective"], second.parameters["objective"]) == ("win_rate", "win_rate_second")
    (found,) = [
        o for o in _objectives({"win_rate": 0.0}, {"win_rate_second"}, objectives()) if o.name == "win_rate_second"
    ]
    assert found.role == "user" and found.reference_point is None


@pytest.fixture
def inputs(tmp_path):
    """A store with the artifacts that a judged stage reads."""
    store = Store(tmp_path / "store")
    data, generate = Stage("pairs", "pairs"), Stage("generate", "generate")
    with store.writing(data.key, {}) as out:
        rows = [{"id": f"p{i}", "prompt": f"Q{i}", "reference": "short"} for i in range(4)]
        (out / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with store.writing(generate.key, {}) as out:
        texts = ["a longer answer", "no", "a longer one", "so it is"]
        rows = [Generation(f"p{i}#0", f"p{i}", f"Q{i}", text, 1, cell="c") for i, text in enumerate(texts)]
        to_frame(rows, Generation).to_parquet(out / "generations.parquet")
    return store, {"data": data, "generations": generate}


def test_a_judged_stage_end_to_end(server, inputs):  # noqa: F811
    def longer(request, n):
        text = request["messages"][-1]["content"]
        a, b = (text.split(f"<answer_{x}>\n")[1].split(f"\n</answer_{x}>")[0] for x in "ab")
        return Answer(completion("B" if len(b) > len(a) else "A"))

    server.script = longer
    store, given = inputs
    overrides = ["judge.kind=endpoint", "judge.model=m", f"judge.endpoint.base_url={server.base_url}"]
    spec = load(TOY, overrides).judge
    stage = Stage("score_win_rate", "judged", *judged("win_rate", spec, given))
    assert stage.inputs["judgements"] == Cache("judgements")
    execute(Job.of(stage, store))
    items = pd.read_parquet(store.path(stage.key) / "items.parquet")
    assert items.value.tolist() == [1.0, 0.0, 1.0, 1.0] and set(items.status) == {"ok"}
    measures = pd.read_parquet(store.path(stage.key) / "measures.parquet")
    assert set(measures[measures.group == "judge"].name) == {
        "judge_missing", "judge_unparsable", "order_disagreement", "first_position_bias", "repeat_disagreement",
    }  # fmt: skip
    asked = len(server.requests)
    assert asked == 4 * 2 + 4  # both orders, and each pair once more
    second = Stage("score_win_rate", "judged", *judged("win_rate_second", spec, given))
    execute(Job.of(second, store))
    assert len(server.requests) == asked and second.key != stage.key
    items = pd.read_parquet(store.path(second.key) / "items.parquet")
    assert set(items.objective) == {"win_rate_second"}
    names = set(pd.read_parquet(store.path(second.key) / "measures.parquet").name)
    assert names and all(name.startswith("second_") for name in names)


def test_a_judge_reads_what_was_asked_and_not_a_policy_s_chat_template(server, tmp_path):  # noqa: F811
    server.script = lambda request, n: Answer(completion("A"))
    store, data, generate = Store(tmp_path), Stage("pairs", "pairs"), Stage("generate", "generate")
    turns = [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "So."},
        {"role": "user", "content": "Oh?"},
    ]
    with store.writing(data.key, {}) as out:
        (out / "prompts.jsonl").write_text(json.dumps({"id": "p", "prompt": turns, "reference": "short"}) + "\n")
    with store.writing(generate.key, {}) as out:
        row = Generation("p#0", "p", "<|user|>Why?<|assistant|>So.<|user|>Oh?<|assistant|>", "a longer answer", 3)
        to_frame([row], Generation).to_parquet(out / "generations.parquet")
    spec = load(TOY, ["judge.kind=endpoint", "judge.model=m", f"judge.endpoint.base_url={server.base_url}"]).judge
    execute(
        Job.of(
            Stage("score_win_rate", "judged", *judged("win_rate", spec, {"data": data, "generations": generate})), store
        )
    )
    asked = " ".join(request["messages"][-1]["content"] for request in server.requests)
    assert "\n\nHuman: Why?\n\nAssistant: So.\n\nHuman: Oh?\n\nAssistant:" in asked and "<|user|>" not in asked
