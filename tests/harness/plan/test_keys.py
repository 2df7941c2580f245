"""Keys of stages: dependence on the code that a stage runs and on nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from harness.plan.cells import make_plan
from harness.plan.fingerprint import closure
from harness.spec.loading import load
from tests.paths import ROOT, TOY

ROOMS = ("harness", "trainers", "suites", "reports")

MAY_IMPORT = {
    "tokenizer": {"harness.stages.tokenizer", "harness.store", "trainers.tokens", "trainers.data"},
    "base": {
        "harness.stages.base", "harness.store", "trainers.tokens", "trainers.pretrain", "trainers.finish", "trainers.config", "trainers.files", "trainers.checks", "trainers.registry",
        "trainers.processes", "trainers.data", "trainers.model", "trainers.optim", "trainers.methods",
    },
    "reference": {
        "harness.stages.reference", "harness.store", "trainers.tokens", "trainers.config", "trainers.files", "trainers.checks", "trainers.registry", "trainers.processes",
        "trainers.data", "trainers.model", "trainers.optim", "trainers.objective", "trainers.methods",
    },
    "prompt_states": {
        "harness.stages.prompt_states", "harness.store", "trainers.tokens", "trainers.objective.prompt_states", "trainers.config", "trainers.files",
        "trainers.data", "trainers.model", "trainers.checks", "trainers.registry",
    },
    "align": {
        "harness.stages.align", "harness.store", "trainers.tokens", "trainers.align", "trainers.finish", "trainers.config", "trainers.files", "trainers.checks", "trainers.registry",
        "trainers.processes", "trainers.data", "trainers.model", "trainers.optim", "trainers.objective",
        "trainers.methods", "trainers.edit",
    },
}  # fmt: skip
"""Packages and modules that may be in the closure of a training stage: no suite, no report, no schema of records."""


@pytest.fixture(scope="module")
def plan():
    return make_plan(load(TOY))


@pytest.mark.parametrize("kind", MAY_IMPORT)
def test_training_depends_on_no_suite_and_no_record(plan, kind):
    stages = [stage for stage in plan.stages.values() if stage.kind == kind]
    assert stages
    for stage in stages:
        modules, _ = closure((stage.module, *stage.code))
        outside = {
            module
            for module in modules
            if not any(module == allowed or module.startswith(f"{allowed}.") for allowed in MAY_IMPORT[kind])
        }
        assert not outside, stage.label


def test_a_method_s_key_depends_on_no_other_method(plan):
    for cell in plan.cells:
        if cell.trained:
            modules, _ = closure((cell.policy.module, *cell.policy.code))
            others = {f"trainers.methods.{name}" for name in ("dpo", "kto", "kto_sft", "modpo", "sft", "upo")}
            built_on = {"kto_sft": {"kto"}}.get(cell.method, set())
            allowed = {f"trainers.methods.{name}" for name in (cell.method, *built_on)}
            assert others & modules <= allowed, cell.label


def edit(file: str, old: str, new: str):
    """A change of one file, as a function of the copy's root."""

    def change(root: Path) -> None:
        path = root / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{file} has no {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return change


def append(file: str):
    """One more constant in a file, as a function of the copy's root."""

    def change(root: Path) -> None:
        with (root / file).open("a", encoding="utf-8") as opened:
            opened.write("\n\nLINE = 1\n")

    return change


def add(file: str, text: str):
    """A new file, as a function of the copy's root."""

    def change(root: Path) -> None:
        (root / file).parent.mkdir(exist_ok=True)
        (root / file).write_text(text, encoding="utf-8")

    return change


SUITE = """
from harness.records import Objective
from suites.registry import suite

@suite("politeness", objectives=[Objective("polite", "Polite", "maximize", "share", (0.0, 1.0))], needs=["generations"])
def politeness(generations):
    return [], []
"""

JUDGE = """
from suites.judges.registry import judge

@judge("coin")
def load(setup):
    return None
"""

EXECUTOR = """
from contextlib import nullcontext
from harness.run.executors import register

@register("nowhere")
def nowhere(setup):
    return nullcontext()
"""

METHOD = (ROOT / "trainers" / "methods" / "ipo.py").read_text(encoding="utf-8").replace('"ipo"', '"ipo_again"')

CHANGES = {
    "nothing": (lambda root: None, set()),
    "comments, docstrings and layout": (
        edit("trainers/optim/loop.py", "annotations\n", 'annotations\n# A comment.\n"""Another text."""\n\n\n'),
        set(),
    ),
    "an objective of a suite": (
        edit(
            "suites/style/lexical.py",
            "OBJECTIVES = (",
            'OBJECTIVES = (\n    Objective("shouting", "Capitals", "minimize", "share", (0.0, 1.0)),',
        ),
        {"score_style"},
    ),
    "a suite": (add("suites/politeness/suite.py", SUITE), set()),
    "a judge": (add("suites/judges/coin.py", JUDGE), set()),
    "an executor": (add("harness/run/executors/nowhere.py", EXECUTOR), set()),
    "a judge of another kind": (
        append("suites/judges/endpoint.py"),
        set(),
    ),
    "a line of a report": (append("reports/findings.py"), set()),
    "a method": (add("trainers/methods/ipo_again.py", METHOD), set()),
    "a method's loss": (
        edit("trainers/methods/dpo.py", "\n@", "\nLINE = 1\n\n@"),
        {"align", "generate", "score_win_rate", "score_toxicity", "score_style", "score_benchmark", "score_exact"},
    ),
    "the optimizer's loop": (
        append("trainers/optim/loop.py"),
        {
            "base", "reference", "prompt_states", "align", "generate", "score_win_rate", "score_toxicity",
            "score_style", "score_benchmark", "score_exact",
        },
    ),
}  # fmt: skip
"""By name: a change of a copy of the code, and the kinds of stages that it re-runs."""

LIST_KEYS = """
import json, sys
from harness.plan.cells import make_plan
from harness.spec.loading import load
plan = make_plan(load(sys.argv[1]))
print(json.dumps([[stage.kind, stage.label, stage.key] for stage in plan.stages.values()]))
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """Plans the toy with a changed copy of the packages; stages by kind and label."""
    number = 0

    def planned(change) -> dict[tuple[str, str], str]:
        nonlocal number
        number += 1
        root = tmp_path_factory.mktemp("code") / str(number)
        for room in ROOMS:
            shutil.copytree(ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
        change(root)
        result = subprocess.run(
            [sys.executable, "-c", LIST_KEYS, TOY], cwd=root, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return {(kind, label): key for kind, label, key in json.loads(result.stdout)}

    return planned


@pytest.fixture(scope="module")
def unchanged(plan):
    return {(stage.kind, stage.label): stage.key for stage in plan.stages.values()}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_reruns_what_it_must_and_nothing_else(name, keys, unchanged):
    change, kinds = CHANGES[name]
    changed = keys(change)
    assert changed.keys() == unchanged.keys()
    rerun = {stage for stage, key in changed.items() if key != unchanged[stage]}
    assert {kind for kind, _ in rerun} == kinds
    if name == "a method's loss":
        assert all(label.split()[1 if kind != "align" else 0] == "dpo" for kind, label in rerun), rerun
