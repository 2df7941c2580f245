"""Published prompt sets: forms, references, and error messages for files of no known form."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.inputs import prompt_sets
from harness.inputs.prompt_sets import (
    HubFile,
    Prompt,
    file_rows,
    hub_rows,
    read_prompts,
    read_references,
    render,
    rows_of,
    without_reference,
)
from harness.plan.cells import make_plan
from harness.spec.loading import load
from harness.stages import prompts as stage
from tests.harness.plan.pairs import write_pairs
from tests.paths import SHARED


def of(*rows: dict) -> list[Prompt]:
    return read_prompts((f"file:{i}", row) for i, row in enumerate(rows, start=1))


@pytest.fixture
def shared():
    def find(*parts: str) -> Path:
        path = SHARED.joinpath(*parts)
        if not path.exists():
            pytest.skip(f"{path} is absent")
        return path

    return find


@pytest.mark.parametrize(
    ("row", "text", "reference"),
    [
        ({"instruction": "Name a tree.", "output": "Oak.", "dataset": "koala"}, "Name a tree.", "Oak."),
        ({"instruction": "Sum", "input": "1 2", "output": "3"}, "Sum\n\n1 2", "3"),
        ({"id": "a", "instruction": "Sum", "instances": [{"input": "1 2", "output": "3"}]}, "Sum\n\n1 2", "3"),
        ({"id": "a", "instruction": "Go", "instances": [{"input": "", "output": " "}]}, "Go", None),
        ({"question_id": 81, "turns": ["First", "Second"], "category": "writing"}, "First", None),
        ({"question_id": 81, "turns": ["First"], "reference": ["One", "Two"]}, "First", "One"),
        ({"prompt_id": 3, "prompt": ["First", "Second"], "reference": []}, "First", None),
        ({"id": "x", "prompt": "Wer bist du? 你好", "reference": "Ich"}, "Wer bist du? 你好", "Ich"),
    ],
)
def test_every_form(row, text, reference):
    (prompt,) = of(row)
    assert (prompt.text, prompt.reference) == (text, reference)
    given = row.get("id", row.get("question_id", row.get("prompt_id")))
    assert prompt.id == (hashlib.sha256(text.encode()).hexdigest()[:16] if given is None else str(given))


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "Why?"}, "file:1: no prompt; the row has question, known are instruction, turns, prompt"),
        ({"turns": []}, "file:1: 'turns' is not as expected"),
        ({"instruction": " "}, "file:1: empty 'instruction'"),
        ({"prompt": 3}, "file:1: 'prompt' is not as expected"),
        ("text", "file:1: not a JSON object"),
    ],
)
def test_a_row_that_is_no_prompt(row, message):
    with pytest.raises(UsageError) as error:
        of(row)
    assert str(error.value).startswith(message)


def test_equal_prompts_and_no_prompts():
    with pytest.raises(UsageError, match="file:2: the prompt .* occurs twice"):
        of({"prompt": "Why?"}, {"prompt": "Why?"})
    with pytest.raises(UsageError, match="holds no prompt"):
        of()


def test_the_space_before_the_response_belongs_to_it():
    prompt = Prompt("p", "Why?", "So.")
    template = "\n\nHuman: {prompt}\n\nAssistant: {response}"
    row = render(prompt, template)
    assert row["prompt"] + row["reference"] == template.format(prompt="Why?", response="So.")
    assert row["prompt"].endswith("Assistant:")
    assert render(prompt, "{prompt} ")["prompt"] == "Why? "
    assert render(Prompt("p", "{response}", None), "{prompt}") == {"id": "p", "prompt": "{response}", "reference": None}
    assert render(prompt, "chat")["prompt"] == [{"role": "user", "content": "Why?"}]


@pytest.mark.parametrize("suffix", prompt_sets.SUFFIXES)
def test_every_kind_of_file(tmp_path, suffix):
    rows = [{"id": "a", "prompt": "one\u2028line"}, {"id": "b", "prompt": "zwei 🦜"}]
    file = tmp_path / f"set{suffix}"
    if suffix == ".parquet":
        import pandas as pd

        pd.DataFrame(rows).to_parquet(file)
    else:
        text = (
            json.dumps(rows) if ".jsonl" not in suffix else "\n".join(json.dumps(r, ensure_ascii=False) for r in rows)
        )
        file.write_bytes(gzip.compress(text.encode()) if suffix.endswith(".gz") else text.encode())
    assert [row for _, row in file_rows(file)] == rows


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("set.jsonl", b'{"prompt": "a"}\n{"prompt"', r"set.jsonl:2: not JSON"),
        ("set.jsonl", b"\xff", "set.jsonl:1: not UTF-8: byte 0 of the line"),
        ("set.jsonl.gz", b"no gzip", "set.jsonl.gz:1: damaged gzip file"),
        ("set.csv", b"prompt", "set.csv: unknown kind of file; .json"),
    ],
)
def test_a_damaged_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=message):
        list(file_rows(tmp_path / name))


def test_hub_sets_name_one_file_and_a_part_of_it(tmp_path, monkeypatch):
    """The parts of AlpacaEval's file are its Self-Instruct and Vicuna prompts."""
    asked = []

    def hf_hub_download(repository, file, repo_type):
        asked.append((repository, file, repo_type))
        target = tmp_path / Path(file).name
        target.write_text(json.dumps([{"instruction": n, "output": "o", "dataset": n} for n in ("vicuna", "koala")]))
        return str(target)

    monkeypatch.setattr("huggingface_hub.hf_hub_download", hf_hub_download)
    assert [row["instruction"] for _, row in hub_rows(prompt_sets.KNOWN["vicuna"])] == ["vicuna"]
    assert len(list(hub_rows(HubFile("o/n", "x.json", 2)))) == 2
    assert asked[0] == ("tatsu-lab/alpaca_eval", "alpaca_eval_gpt4_baseline.json", "dataset")


def plan(pairs: Path, *overrides: str):
    return make_plan(load("hh", [f"data.path={pairs}", "methods={dpo: {}}", "seeds=[0]", *overrides]))


@pytest.fixture
def pairs(tmp_path):
    file = tmp_path / "pairs.jsonl"
    write_pairs(file)
    return file


def test_an_experiment_takes_its_prompts_from_a_set(pairs, tmp_path):
    file = tmp_path / "vicuna.jsonl"
    file.write_text('{"question_id": 1, "turns": ["How?"], "reference": ["So."]}\n')
    made = plan(pairs, f"data.prompts.set={file}", "data.prompts.template='Q: {prompt} A: {response}'")
    (prompts,) = [s for s in made.stages.values() if s.kind == "prompts"]
    assert {s.kind for s in made.stages.values() if prompts in s.requires} == {
        "generate", "score_win_rate", "score_style",
    }  # fmt: skip
    stage.run(prompts.parameters, {name: source.path for name, source in prompts.inputs.items()}, tmp_path)
    (row,) = map(json.loads, (tmp_path / "prompts.jsonl").read_text().splitlines())
    assert row == {"id": "1", "prompt": "Q: How? A:", "reference": " So."}


@pytest.mark.parametrize("name", prompt_sets.KNOWN)
def test_known_sets_are_planned_by_name_and_asked_for_before_anything_runs(pairs, tmp_path, name, monkeypatch):
    from harness.run.downloads import require_downloads
    from harness.store.store import Store

    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    made = plan(pairs, f"data.prompts.set={name}", "suites=[style]")
    with pytest.raises(UsageError, match=f"data.prompts.set: {prompt_sets.KNOWN[name].repository}"):
        require_downloads(made, Store(tmp_path / "store"))


def test_mistakes_are_told_before_anything_runs(pairs, tmp_path):
    with pytest.raises(UsageError, match="no such file or set; did you mean 'alpaca_eval'"):
        plan(pairs, "data.prompts.set=alpacaeval")
    with pytest.raises(
        UsageError, match="mt_bench: some prompts have no reference response, which the suite 'win_rate'"
    ):
        plan(pairs, "data.prompts.set=mt_bench")
    file = tmp_path / "q.jsonl"
    file.write_text('{"question_id": 1, "turns": ["How?"]}\n')
    with pytest.raises(UsageError, match="1 prompts have no reference response .the first is '1'.*references=FILE"):
        plan(pairs, f"data.prompts.set={file}")
    assert plan(pairs, f"data.prompts.set={file}", "suites=[style]")
    with pytest.raises(UsageError, match="references: nowhere.jsonl: no such file"):
        plan(pairs, f"data.prompts.set={file}", "data.prompts.references=nowhere.jsonl")
    answers = tmp_path / "a.jsonl"
    answers.write_text('{"question_id": 1, "choices": [{"turns": ["So."]}]}\n')
    assert plan(pairs, f"data.prompts.set={file}", f"data.prompts.references={answers}")
    for template in ("Q:", "{prompt} {response} end"):
        with pytest.raises(UsageError, match="data.prompts.template"):
            plan(pairs, f"data.prompts.set={file}", f"data.prompts.template='{template}'")


def test_the_real_sets(shared):
    """AlpacaEval's instructions are known by hash: Self-Instruct's and Vicuna's are among them, joined as here."""
    import pandas as pd

    known = pd.read_csv(shared("alpaca_eval_numeric", "prompts_numeric.csv.gz"))
    hashes = {name: set(part["instruction_sha256_16"]) for name, part in known.groupby("dataset")}
    tasks = read_prompts(file_rows(shared("self_instruct_eval", "user_oriented_instructions.jsonl.gz")))
    assert {hashlib.sha256(p.text.encode()).hexdigest()[:16] for p in tasks} == hashes["selfinstruct"]
    assert len(tasks) == 252 and all(p.reference for p in tasks)
    bench = shared("mt_bench_vicuna_bench")
    vicuna = read_prompts(file_rows(bench / "vicuna_bench_question.jsonl.gz"))
    assert {hashlib.sha256(p.text.encode()).hexdigest()[:16] for p in vicuna} == hashes["vicuna"]
    answers = read_references(file_rows(bench / "mt_bench_reference_answer_gpt-4.jsonl.gz"))
    first_turns = read_prompts(file_rows(bench / "mt_bench_question.jsonl.gz"), answers)
    assert len(first_turns) == 80 and sum(p.reference is not None for p in first_turns) == 30


def test_the_responses_of_another_model_are_found_by_the_prompt(shared):
    outputs = read_references(file_rows(shared("self_instruct_eval", "model_outputs", "text-davinci-003.jsonl.gz")))
    tasks = file_rows(shared("self_instruct_eval", "user_oriented_instructions.jsonl.gz"))
    prompts = read_prompts(tasks, outputs)
    assert all(p.reference for p in prompts) and len({p.reference for p in prompts}) > 240


SEVERAL = {"question_id": 81, "turns": ["First", "Second", "Third"], "reference": ["One", "Two"]}


def test_later_turns_are_rows_of_their_own_behind_the_turn_before():
    (prompt,) = of(SEVERAL)
    assert [(turn.id, turn.reference) for turn in prompt.turns] == [
        ("81", "One"), ("81, turn 2", "Two"), ("81, turn 3", None),
    ]  # fmt: skip
    assert [(row["id"], row.get("after")) for row in rows_of(prompt, "{prompt}")] == [
        ("81", None), ("81, turn 2", "81"), ("81, turn 3", "81, turn 2"),
    ]  # fmt: skip
    assert [row["prompt"][0]["content"] for row in rows_of(prompt, "{prompt}")] == SEVERAL["turns"]
    human = rows_of(prompt, "\n\nHuman: {prompt}\n\nAssistant: {response}")
    assert human[1] == {
        "id": "81, turn 2",
        "prompt": "\n\nHuman: Second\n\nAssistant:",
        "reference": " Two",
        "after": "81",
    }
    assert "after" not in rows_of(Prompt("p", "Why?"), "{prompt}")[0]
    assert without_reference([prompt]) == "1 prompts have no reference response (the first is '81, turn 3')"


def test_the_answers_of_another_model_are_references_turn_by_turn():
    answers = read_references([("a:1", {"question_id": 81, "choices": [{"turns": ["Uno", "Due", "Tre"]}]})])
    (prompt,) = read_prompts([("q:1", SEVERAL)], answers)
    assert [turn.reference for turn in prompt.turns] == ["Uno", "Due", "Tre"]


def test_a_template_that_cannot_continue_a_conversation_is_told(pairs, tmp_path):
    file = tmp_path / "q.jsonl"
    file.write_text(json.dumps(SEVERAL) + "\n")
    with pytest.raises(UsageError, match="data.prompts.template: .*several turns.*not 'Q: {prompt} A: {response}'"):
        plan(pairs, f"data.prompts.set={file}", "suites=[style]", "data.prompts.template='Q: {prompt} A: {response}'")
    assert plan(pairs, f"data.prompts.set={file}", "suites=[style]")


def test_mt_bench_has_two_turns(shared):
    bench = shared("mt_bench_vicuna_bench")
    prompts = read_prompts(file_rows(bench / "mt_bench_question.jsonl.gz"))
    assert {len(prompt.turns) for prompt in prompts} == {2} and len(prompts) == 80
