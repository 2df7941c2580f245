"""User plugins: one file each adds a suite, a judge, an executor and a method to an experiment."""

from __future__ import annotations

import json
import sys

import pytest

from harness.errors import Exit, UsageError
from harness.plan import fingerprint
from harness.plan.cells import make_plan
from harness.records import Records
from harness.run.executors import executors
from harness.run.session import run_experiment
from harness.spec.loading import load
from harness.store.store import Store
from suites import registry
from suites.judges.registry import judges
from tests.paths import TOY

SUITE = '''
"""Whether a response has a question in it."""
from harness.records import Measure, Objective
from suites.items import item_score
from suites.registry import DesignerReward, suite

ASKING = Objective("asking", "Responses that ask", "maximize", "share", (0.0, 1.0))


def asks(texts):
    return [float("?" in text) for text in texts]


@suite("questions", objectives=[ASKING], needs=["generations"], rewards={"asking": DesignerReward(asks)})
def questions(generations):
    items = [item_score(ASKING, g, value) for g, value in zip(generations, asks([g.response for g in generations]))]
    return items, [Measure("summary", "asked", float(sum(item.value for item in items)))]
'''

JUDGE = '''
"""The longer response wins."""
from suites.judges.protocol import Verdict
from suites.judges.registry import judge


class Longer:
    name, revision = "longer", "1"

    def prefer(self, prompts, first, second):
        return [Verdict(0.5 + 0.5 * ((len(a) > len(b)) - (len(a) < len(b)))) for a, b in zip(first, second)]


@judge("longer")
def load(setup):
    return Longer()
'''

EXECUTOR = '''
"""Every stage in the process of the run."""
from concurrent.futures import Future
from contextlib import contextmanager
from harness.run.executors import register
from harness.run.job import execute


class Here:
    def submit(self, job):
        future = Future()
        future.set_result(execute(job))
        return future

    def poll(self):
        pass


@register("here")
@contextmanager
def here(setup):
    yield Here()
'''


@pytest.fixture
def plugins(tmp_path):
    """The files, named so that no other test has imported them; what they register is taken out again."""
    files = {}
    for name, text in {"questions": SUITE, "longer": JUDGE, "here": EXECUTOR}.items():
        files[name] = tmp_path / f"{name}.py"
        files[name].write_text(text)
    yield files
    forget_code()
    for table in (registry._suites, judges.__globals__["_kinds"], executors.__globals__["_executors"]):
        for name in ("questions", "longer", "here"):
            table.pop(name, None)
    for name in files:
        sys.modules.pop(f"prefrontier_plugin_{name}", None)


def forget_code():
    """Fingerprints are computed once in a process; here files change under it."""
    for cached in ("fingerprint", "_tree", "_code", "_imports", "_source"):
        getattr(fingerprint, cached).cache_clear()


def overrides(files):
    return [
        f"plugins=[{', '.join(map(str, files.values()))}]",
        "methods={sft: {}, upo: {}, modpo: {}}",
        "suites=[win_rate, questions]", "judge={kind: longer}",
        "reference_point={win_rate: 0.0, asking: 0.0}", "rewards={asking: 0.5, readability: 0.5}",
    ]  # fmt: skip


def test_one_file_each_runs_to_its_records(plugins, tmp_path):
    rows = [
        {
            "prompt": f"Human: Is {n} odd?",
            "chosen": f" The number is {'odd' if n % 2 else 'even'}, and so is its square.",
            "rejected": " Who can say what it is?",
        }
        for n in range(200)
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = f"data={{source: pairs, path: {tmp_path / 'pairs.jsonl'}, test_prompts: 16}}"
    plan = make_plan(load(TOY, [*overrides(plugins), pairs, "base.vocabulary=300"]))
    assert {suite for cell in plan.cells for suite in cell.scores} == {"win_rate", "questions"}
    store = Store(tmp_path / "store")
    assert run_experiment(plan, store, tmp_path / "run", workers=1, executor="here", address=None) == Exit.OK
    records = Records.read(tmp_path / "run" / "records")
    generations = records.generations.set_index(["cell", "item"]).response
    asking = records.items[records.items.objective == "asking"].set_index(["cell", "item"])
    said = asking[asking.status == "ok"]
    assert len(said) and (said.value == generations[said.index].str.contains("?", regex=False)).all()
    assert set(records.objectives.name) == {"win_rate", "asking"}
    assert "asked" in set(records.measures.name)
    length = records.items[records.items.objective == "win_rate"].set_index(["cell", "item"]).value
    assert set(length.unique()) <= {0.0, 0.5, 1.0}
    assert "Responses that ask" in (tmp_path / "run" / "report" / "report.md").read_text()


def test_a_plugin_s_code_is_part_of_the_keys_of_the_stages_that_use_it(plugins):
    def planned():
        return {(s.kind, s.label): s for s in make_plan(load(TOY, overrides(plugins))).stages.values()}

    before = {name: stage.key for name, stage in planned().items()}
    plugins["questions"].write_text(SUITE.replace('"?" in text', '"!" in text'))
    sys.modules.pop("prefrontier_plugin_questions")
    registry._suites.pop("questions")
    forget_code()
    after = {name: stage.key for name, stage in planned().items()}
    rerun = {name for name, key in after.items() if before[name] != key}
    # The function is a suite's and a designer reward: only the methods that see the reward are trained again.
    assert {kind for kind, _ in rerun} == {"rewards", "align", "generate", "score_win_rate", "score_questions"}
    assert {label.split()[0] for kind, label in rerun if kind == "align"} == {"modpo", "upo"}


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("questions", SUITE.replace('needs=["generations"]', 'needs=["answers"]'), "unknown need 'answers'"),
        ("questions", SUITE.replace("(generations):", "(texts):"), "the parameters of its function are not its needs"),
        ("questions", SUITE.replace("(0.0, 1.0)", "(0.0, float('inf'))"), "'asking' is unbounded"),
        ("questions", SUITE.replace('"asking", "Resp', '"readability", "Resp'), "belongs to the suite 'style'"),
        ("questions", SUITE.replace('@suite("questions"', '@suite("style"'), "suite 'style': is registered already"),
        ("longer", JUDGE.replace('"longer")\n', '"longer", needs=["luck"])\n'), "judge 'longer': unknown need 'luck'"),
        ("longer", JUDGE.replace('@judge("longer")', '@judge("oracle")'), "judge 'oracle' is registered already"),
        ("here", EXECUTOR.replace("here(setup)", "here()"), "executor 'here': its function must take one argument"),
        ("here", EXECUTOR.replace('"here")', '"local")'), "executor 'local' is registered already"),
        ("here", "import nothing_of_that_name", "No module named 'nothing_of_that_name'"),
    ],
)
def test_a_wrong_declaration_is_one_line_that_names_the_file(plugins, kind, text, message):
    registry.suites(), judges(), executors()
    plugins[kind].write_text(text)
    with pytest.raises(UsageError) as error:
        load(TOY, [f"plugins=[{plugins[kind]}]"])
    assert str(plugins[kind]) in str(error.value) and message in str(error.value) and "\n" not in str(error.value)


def test_a_plugin_that_is_not_there(tmp_path):
    with pytest.raises(UsageError, match=r"plugins: nowhere\.py: no such Python file"):
        load(TOY, ["plugins=[nowhere.py]"])
    with pytest.raises(UsageError, match="plugins: should be a list of files"):
        load(TOY, ["plugins=nowhere.py"])


def test_two_plugins_of_one_name(plugins, tmp_path):
    other = tmp_path / "other" / "longer.py"
    other.parent.mkdir()
    other.write_text("")
    with pytest.raises(UsageError, match="has the same name; rename one of them"):
        load(TOY, [f"plugins=[{plugins['longer']}, {other}]"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("suites=[tocixity]", "suites: unknown suite 'tocixity'; did you mean 'toxicity'?"),
        ("rewards={redability: 1.0}", "rewards: unknown objective 'redability'; did you mean 'readability'?"),
        ("reference_point={win_rat: 0}", "reference_point: unknown objective 'win_rat'; did you mean 'win_rate'?"),
        ("methods={dpoo: {}}", "methods.dpoo: unknown method 'dpoo'; did you mean 'dpo'?"),
    ],
)
def test_an_unknown_name_offers_the_nearest(override, message):
    with pytest.raises(UsageError) as error:
        make_plan(load(TOY, [override]))
    assert str(error.value) == message


def test_an_unknown_executor_is_refused_before_anything_runs(tmp_path):
    plan = make_plan(load(TOY))
    with pytest.raises(UsageError, match="--executor: unknown executor 'locla'; did you mean 'local'"):
        run_experiment(plan, Store(tmp_path / "store"), tmp_path / "run", 1, "locla", None)
    assert not (tmp_path / "run").exists()


def test_every_need_of_a_suite_has_its_inputs():
    from harness.plan.suite_inputs import NEEDS
    from harness.stages.score import RESOLVE

    assert set(NEEDS) == set(registry.NEEDS) and set(RESOLVE) == set(registry.DIRECT_NEEDS)


def test_every_suite_with_a_stage_of_its_own_has_it():
    from importlib.util import find_spec

    for name, suite in registry.suites().items():
        assert suite.measure is not None or find_spec(f"harness.stages.score_{name}")


def test_order_of_the_objectives_is_that_of_the_suites():
    from harness.plan.designer import objectives_of
    from harness.run.assemble import _objectives

    experiment = load("bench", ["suites=[win_rate, toxicity, style, benchmark]"])
    measured = {"win_rate", "readability", "toxicity", "accuracy"}
    names = [o.name for o in _objectives({}, measured, objectives_of(experiment))]
    assert names == ["win_rate", "toxicity", "readability", "accuracy"]
