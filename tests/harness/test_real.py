"""The experiment `real` from end to end, with a tiny GGUF file in the place of its model, and killed on the way."""

from __future__ import annotations

import json
import subprocess
import sys
import time

import pytest

from harness.cli.show import show_plan
from harness.plan.cells import make_plan
from harness.spec.loading import load
from harness.store.store import Store
from tests.paths import ROOT

pytest.importorskip("gguf", reason="the extra 'gguf' is not installed: pip install 'prefrontier[gguf]'")


@pytest.fixture(scope="module")
def overrides(tmp_path_factory):
    from tests.gguf_model import save_gguf

    folder = tmp_path_factory.mktemp("real")
    turns = [
        {
            "id": f"{n}",
            "prompt": f"\n\nHuman: what is {n}?\n\nAssistant:",
            "chosen": f" It is the number {n}. Ask me more about it.",
            "rejected": " No.",
        }
        for n in range(300)
    ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns))
    for name, bad in (("a", "you fool"), ("b", "a stupid idiot")):
        rows = "".join(f"{text} {n},{label}\n" for n in range(40) for text, label in ((bad, 1), ("a nice day", 0)))
        (folder / f"{name}.csv").write_text("text,is_toxic\n" + rows)
    settings = {
        "sizes.135m.model": save_gguf(folder / "tiny.gguf"),
        "data.path": folder / "pairs.jsonl",
        "toxicity.labelled": folder / "a.csv",
        "toxicity.held_out.labelled": folder / "b.csv",
        "data.test_prompts": 12,
        "training.max_steps": 2,
        "training.max_prompt_tokens": 90,
        "training.max_tokens": 160,
        "judge.training.max_prompt_tokens": 90,
        "judge.training.max_tokens": 160,
        "decoding.max_new_tokens": 8,
        "methods": "{dpo: {}, kto_sft: {seeds: [0]}, upo: {}}",
    }
    return folder, [f"{key}={value}" for key, value in settings.items()]


def test_a_plan_says_what_the_processor_cannot_do(overrides, capsys, monkeypatch, tmp_path):
    import harness.cli.show as show

    plan = make_plan(load("real", overrides[1]))
    for able in (True, False):
        monkeypatch.setattr(show, "has_bfloat16", lambda able=able: able)
        show_plan(plan, Store(tmp_path), tmp_path)
        assert ("no bfloat16 arithmetic" in capsys.readouterr().out) != able
    show_plan(make_plan(load("real", ["scale=float32", *overrides[1]])), Store(tmp_path), tmp_path)
    told = capsys.readouterr().out
    assert "bfloat16" not in told and "of one core (rough)" in told


def test_the_gpu_form_is_the_same_experiment_with_more_of_everything(overrides):
    other = ("training.", "judge.", "decoding.", "data.test_prompts", "methods")
    settings = [each for each in overrides[1] if not each.startswith(other)]
    small, large = (make_plan(load(name, settings)) for name in ("real", "real-gpu"))
    assert set(small.budgets) == set(large.budgets) and set(small.budgets.values()) == {2} != set(
        large.budgets.values()
    )
    assert {stage.settings.get("device") for stage in large.stages.values() if stage.kind == "generate"} == {"cuda"}


@pytest.mark.slow
def test_it_runs_and_once_killed_goes_on_where_it_was(overrides, tmp_path):
    words = [word for override in overrides[1] for word in ("--set", override)]
    command = [sys.executable, "-m", "prefrontier", "run", "real", "--out", str(tmp_path / "out"), *words]
    command += ["--store", str(tmp_path / "store"), "--set", "scale=float32"]
    events = tmp_path / "out" / "log.jsonl"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
        while process.poll() is None and (not events.exists() or events.read_text().count('"finished"') < 12):
            time.sleep(0.2)
        process.kill()
    done = {row["key"] for row in map(json.loads, events.read_text().splitlines()) if row["event"] == "finished"}
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    later = [json.loads(line) for line in events.read_text().splitlines()]
    runs_of = {key: sum(row["event"] == "finished" and row["key"] == key for row in later) for key in done}
    assert len(done) >= 12 and set(runs_of.values()) == {1}  # nothing is done twice
    report = (tmp_path / "out" / "report" / "report.md").read_text()
    assert "Against the chosen response, by the definitions of UPO's paper" in report
    assert "The judge prefers the response that people chose in" in report
    assert "Weights of 135m: tiny.gguf (Tiny chat, Q8_0, F32; file sha256 " in report
    assert "measured 9 of 9 cells" in result.stdout and "processor time of the stages: " in result.stdout
