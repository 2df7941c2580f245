"""The mutants of a small module, and their fate under its tests."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

from tests.mutation.__main__ import EQUIVALENT, ROOT, sample
from tests.mutation.mutants import mutants
from tests.mutation.runner import BaselineError, append, load, runner
from tests.mutation.selection import DEFAULT, rooms, sources, units

SOURCE = '''"""Docstring 1 < 2."""

from __future__ import annotations

LIMIT: int = 3
Text = str | None


def kept(value: float, low: float = -1.0) -> bool:
    """A docstring with 1 + 1."""
    if not isinstance(value, int | float):
        raise TypeError(f"{value + 1} is not a number" + str(1 + 2))
    return low < value and max(value, 0) <= LIMIT
'''


@pytest.fixture
def tree(tmp_path):
    """A repository with one module of a room and its test, which leaves the lower bound alone."""
    (tmp_path / "reports").mkdir()
    (tmp_path / "tests" / "reports").mkdir(parents=True)
    (tmp_path / "reports" / "small.py").write_text(SOURCE)
    tests = "from reports.small import kept\n\n\ndef test_the_upper_end():\n    assert kept(3.0) and not kept(4.0)\n"
    (tmp_path / "tests" / "reports" / "test_small.py").write_text(tests)
    for name in ("mutants", "worker", "plugins", "selection", "runner", "__init__"):
        (tmp_path / "tests" / "mutation").mkdir(exist_ok=True)
        (tmp_path / "tests" / "mutation" / f"{name}.py").write_text(
            (ROOT / "tests/mutation" / f"{name}.py").read_text()
        )
    (tmp_path / "tests" / "__init__.py").write_text("")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    return tmp_path


def changes(tree) -> list[tuple[str, str]]:
    return [(mutant.before, mutant.after) for mutant in mutants("reports/small.py", tree)]


def test_every_kind_of_change_is_made_once_and_nothing_else(tree):
    assert sorted(changes(tree)) == sorted(
        [
            ("3", "(4)"), ("3", "(2)"), ("-1.0", "(1.0)"), ("1.0", "(2.0)"), ("1.0", "(0.0)"),
            ("not isinstance(value, int | float)", "(isinstance(value, int | float))"),
            ("low < value and max(value, 0) <= LIMIT", "(low < value or max(value, 0) <= LIMIT)"),
            ("low < value", "(low <= value)"), ("low < value", "(low >= value)"),
            ("max(value, 0) <= LIMIT", "(max(value, 0) < LIMIT)"), ("max(value, 0) <= LIMIT", "(max(value, 0) > LIMIT)"),
            ("max(value, 0)", "(min(value, 0))"), ("0", "(1)"), ("0", "(-1)"),
        ]
    )  # fmt: skip


def test_a_mutant_is_the_source_but_for_its_change(tree):
    for mutant in mutants("reports/small.py", tree):
        changed = mutant.apply(SOURCE)
        assert changed != SOURCE and changed.count("\n") == SOURCE.count("\n")
        assert ast.dump(ast.parse(changed)) != ast.dump(ast.parse(SOURCE))
        assert ast.parse(changed).body[0].value.value == "Docstring 1 < 2."


def test_bounds_given_by_name_change_places(tree):
    (tree / "reports" / "small.py").write_text("def f(x):\n    return x.clamp(min=x.low, max=x.high)\n")
    assert changes(tree) == [("x.clamp(min=x.low, max=x.high)", "(x.clamp(max=x.low, min=x.high))")]


def test_columns_after_other_letters_are_found(tree):
    (tree / "reports" / "small.py").write_text('NAMES = {"γ": 1 < 2}\n')
    assert ("1 < 2", "(1 <= 2)") in changes(tree)


def test_tests_kill_what_they_see_and_only_that(tree, tmp_path_factory):
    log = tmp_path_factory.mktemp("log") / "log.jsonl"
    expected = {
        "3 -> (4)": "killed",
        "max(value, 0) <= LIMIT -> (max(value, 0) < LIMIT)": "killed",
        "-1.0 -> (1.0)": "survived",
    }
    with runner(tree, ["pytest"]) as running:
        running.record(["reports/small.py"], tmp_path_factory.mktemp("lines"))
        for mutant in mutants("reports/small.py", tree):
            if f"{mutant.before} -> {mutant.after}" in expected:
                append(log, running.run(mutant))
    assert {result.id.split(":", 3)[3]: result.outcome for result in load(log).values()} == expected
    assert (tree / "reports" / "small.py").read_text() == SOURCE


def test_tests_that_fail_by_themselves_are_refused(tree, tmp_path):
    (tree / "tests" / "reports" / "test_small.py").write_text("def test_it():\n    assert False\n")
    with runner(tree, ["pytest"]) as running, pytest.raises(BaselineError, match="fail without a mutation"):
        running.record(["reports/small.py"], tmp_path / "lines")


def test_a_sample_is_seeded():
    one, same, other = (sample(("reports/statistics",), 50, seed) for seed in (0, 0, 1))
    assert one == same != other and len({mutant.id for mutant in one}) == 50


@pytest.mark.parametrize("equivalent", EQUIVALENT, ids=lambda equivalent: equivalent.line)
def test_every_equivalent_change_is_one_that_is_made(equivalent):
    made = {(mutant.before, mutant.after) for mutant in mutants(equivalent.path, ROOT) if equivalent.has(mutant)}
    assert made == equivalent.changes


def test_every_package_has_tests():
    for folders, paths in rooms(sources(ROOT, DEFAULT)).items():
        assert any(Path(unit).parts[0] == "tests" for unit in units(ROOT, folders, paths)), folders
    with pytest.raises(FileNotFoundError, match="no/such"):
        sources(ROOT, ("no/such",))


SHARED = '''"""Tests of one line, of two, and of a value of a shared fixture."""

import pytest

from reports.small import kept


@pytest.fixture(scope="module")
def shared():
    return kept(3.0)


def test_the_error():
    with pytest.raises(TypeError):
        kept("3")


def test_first(shared):
    pass


def test_second(shared):
    assert shared


def test_something_else():
    pass
'''


def test_the_tests_of_a_line_are_those_that_run_it(tree, tmp_path):
    (tree / "tests" / "reports" / "test_small.py").write_text(SHARED)
    error, first, second, other = (
        f"tests/reports/test_small.py::test_{name}" for name in ("the_error", "first", "second", "something_else")
    )
    with runner(tree, ["pytest"]) as running:
        running.record(["reports/small.py"], tmp_path / "lines")
        groups = {
            mutant.before: [set(group) for group in running.coverage.groups(mutant, SOURCE)]
            for mutant in mutants("reports/small.py", tree)
        }
    assert groups["low < value"] == [{first, second}, {error, other}]
    assert groups["not isinstance(value, int | float)"] == [{error, first, second}, {other}]
    assert groups["3"] == groups["-1.0"] == [{error, first, second}, {other}]  # run at import
