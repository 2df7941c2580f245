"""The option ``--json`` of every verb: one object on standard output, the text on standard error."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import typer

from harness.cli.main import app, main
from harness.cli.status import run_facts
from tests.paths import TOY
from tests.reports import nights

VERBS = typer.main.get_command(app).commands
CALLS = {
    "plan": ([TOY, "--store", "store"], 0, "stages"),
    "run": ([TOY, "--store", "store", "--dry-run"], 0, "stages"),
    "frontier": (["absent.jsonl", "--out", "out"], 4, "error"),
    "data": (["pairs.jsonl"], 0, "sources"),
    "init": ([], 4, "error"),
    "export": (["first", "--to", "nothing", "--organization", "me", "--out", "out"], 4, "error"),
    "prefetch": ([TOY, "--store", "store", "--list"], 0, "downloads"),
    "status": ([TOY, "--store", "store"], 0, "stages"),
    "report": (["second"], 0, "report"),
    "gate": (["second", "--baseline", "first"], 0, "differences"),
    "compare": (["first", "second"], 0, "paired"),
    "verify": (["first", "--stored", "figures.csv", "--write"], 0, "stored"),
    "bless": (["first", "--baseline", "baseline", "--reason", "it is complete"], 0, "baseline"),
    "figures": (["empty", "--out", "figures"], 4, "error"),
    "ls": ([], 0, "methods"),
    "store": (["--store", "store"], 0, "kinds"),
    "doctor": (["--store", "store"], 0, "checks"),
}
"""By verb: words of a call, its exit code, and a key of its facts."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two small runs, a folder without one, and a file of pairs."""
    folder, random = tmp_path_factory.mktemp("work"), np.random.default_rng(0)
    prompts = nights.prompts(random, 6)
    for name in ("first", "second"):
        nights.write(folder / name, nights.night(random, prompts))
    (folder / "empty").mkdir()
    rows = [{"prompt": f"Question {n}?", "chosen": f" Yes {n}.", "rejected": f" No {n}."} for n in range(3)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def answer(folder, monkeypatch, capsys):
    """Exit code, the object on standard output and the text on standard error of a command."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(os, "environ", os.environ.copy())

    def run(*words):
        monkeypatch.setattr("sys.argv", ["prefrontier", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code, printed.out, printed.err

    return run


def test_every_verb_has_a_call_here():
    assert VERBS.keys() <= CALLS.keys(), "a new verb is registered with `verb`, returns an `Answer` and is called here"


@pytest.mark.parametrize("verb", VERBS)
def test_standard_output_is_one_object(verb, answer):
    words, code, key = CALLS[verb]
    ended, out, told = answer(verb, *words, "--json")
    assert out.count("\n") == 1, out
    facts = json.loads(out, parse_constant=pytest.fail)
    assert (facts["verb"], facts["exit"], ended) == (verb, code, code), told
    assert key in facts
    assert told.strip(), "the text goes to standard error"


def test_a_mistake_is_an_object_too(answer):
    ended, out, told = answer("plan", "bnech", "--json")
    facts = json.loads(out)
    assert (facts["exit"], ended) == (4, 4) and "did you mean 'bench'?" in facts["error"] and facts["error"] in told


def test_an_internal_error_is_an_object_and_a_traceback(answer, monkeypatch):
    monkeypatch.setattr("harness.cli.show.show_library", lambda: 1 / 0)
    ended, out, told = answer("ls", "--json")
    assert (json.loads(out)["error"], ended) == ("ZeroDivisionError: division by zero", 3) and "Traceback" in told


def test_numbers_are_those_of_the_text(answer):
    _, text, _ = answer("compare", "first", "second")
    _, out, _ = answer("compare", "first", "second", "--json")
    facts = json.loads(out)
    assert all(line in text for line in facts["findings"])
    assert {pair["objective"] for pair in facts["paired"]} == {"win_rate", "toxicity"}


def completed(monkeypatch, capsys, *words) -> list[str]:
    monkeypatch.setenv("_PREFRONTIER_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", " ".join(("prefrontier", *words)))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    with pytest.raises(SystemExit) as ended:
        app(prog_name="prefrontier")
    assert ended.value.code == 0
    return capsys.readouterr().out.split()


def test_a_shell_completes_verbs_options_experiments_and_runs(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    (folder / "runs" / "mine").mkdir(parents=True)
    assert completed(monkeypatch, capsys, "comp") == ["compare"]
    assert completed(monkeypatch, capsys, "plan", "be") == ["bench"]
    assert "runs/mine" in completed(monkeypatch, capsys, "gate", "runs/")
    assert "--json" in completed(monkeypatch, capsys, "gate", "--")


def test_the_facts_of_a_run_are_those_of_its_folder(folder):
    facts = run_facts(folder / "first")
    assert facts["expected_cells"] == 6 and facts["out"] == folder / "first" and facts["report"] is None
    assert run_facts(folder / "absent")["expected_cells"] is None
