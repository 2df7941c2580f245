"""The verb ``data``: what would be read, in lines and as JSON, and one line for every mistake."""

from __future__ import annotations

import json

import pytest

from harness.inputs.data.survey import survey
from harness.inputs.roles import role
from tests.chat_model import save_chat_model
from tests.harness.data.conftest import safe_rows
from trainers.data.records import Pair


def test_a_file_is_told_with_its_form_counts_and_first_example(prefrontier, write):
    rows = [*safe_rows(), {**next(safe_rows()), "response_0": ""}]
    code, said = prefrontier("data", write("door.jsonl", rows))
    assert code == 0, said
    lines = said.splitlines()
    assert lines[0].endswith(
        "door.jsonl: PKU-SafeRLHF's pairs on two axes: the more helpful response is preferred, and safety is a score of both "
        "(columns better_response_id, prompt, response_0, response_1, safer_response_id); "
        "safety is kept as rewards 'safer' and, where the rows have them, 'safe' and 'severity'; harm categories are left out"
    )
    assert "  licence: CC-BY-NC-4.0 by the publisher of data in this form, non-commercial use only" in lines
    assert "  61 rows, 60 pairs; left out: 1 × empty 'response_0'" in lines
    assert "60 distinct prompts; 0 repeated pairs; 0 pairs that another contradicts" in lines
    assert "words, median / 95 % / longest: prompt 8 / 8 / 8, chosen 2 / 2 / 2, rejected 4 / 4 / 4" in lines
    assert "score safe: mean 0 of chosen, 1 of rejected responses" in lines
    assert 'first prompt: [{"role": "user", "content": "How do I open door 0?"}]' in lines


def test_a_base_counts_tokens_and_renders_the_first_example(prefrontier, write, tmp_path):
    model = save_chat_model(tmp_path / "model")
    code, said = prefrontier("data", write("door.jsonl", safe_rows()), "--tokenizer", model, "--json")
    assert code == 0, said
    told = json.loads(said.splitlines()[0])
    (seen,) = told["formats"].values()
    assert seen["prompt"] == "<user> How do I open door 0? </s> <assistant> " and seen["end"] == "</s>"
    assert told["unit"] == "tokens" and told["lengths"]["prompt"]["longest"] >= len(seen["prompt_tokens"])
    assert told["sources"][0]["non_commercial"] is True
    assert told["used"] == {**told["roles"], "test": told["roles"]["test"]}


def test_an_experiment_shows_what_it_uses_and_what_it_evaluates_on(prefrontier, write):
    file = write("door.jsonl", safe_rows())
    prompts = write("eval.jsonl", [{"prompt": "How do I open door 7?"}])
    data = {"source": "pairs", "path": str(file), "pairs": 5, "test_prompts": 2, "prompts": {"set": str(prompts)}}
    code, said = prefrontier("data", "hh", "--set", f"data={json.dumps(data)}")
    assert code == 0, said
    assert "  1 pairs answer prompts that are evaluated on" in said.splitlines()
    assert "test prompts (2 used)" in said and "pairs for the policies (5 used)" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["absent.jsonl"], "data.path: absent.jsonl: no such file"),
        (["bench"], "bench: its data are the oracle world; there are no files of pairs to look into"),
        (["FILE", "--set", "data.columns={prompt: q}"], "door.jsonl:1: columns: no column 'q'"),
        (["FILE", "--set", "seeds=[1]"], "--set seeds=[1]: of a file, keys of the data are set, as in"),
        (["FILE", "--set", "data.form=shq"], "data.form: unknown form of data 'shq'; did you mean 'shp'?"),
        (["FILE", "--tokenizer", "./absent"], "./absent: its tokenizer cannot be loaded ("),
        (["OTHER"], "other.jsonl:1: no known form of preference data: its columns are prompt, output; "),
        (["OTHER"], "`prefrontier frontier OTHER --out DIR` reads it"),
    ],
)
def test_a_mistake_is_one_line(prefrontier, write, words, message):
    files = {
        "FILE": write("door.jsonl", safe_rows(3)),
        "OTHER": write("other.jsonl", [{"prompt": "Hi", "output": "Yes"}]),
    }
    code, said = prefrontier("data", *(files.get(word, word) for word in words))
    assert code == 4 and message.replace("OTHER", str(files["OTHER"])) in said and len(said.splitlines()) == 1


def test_duplicates_contradictions_and_leaks_are_counted():
    first_turns = {
        name: next(n for n in range(99) if role(_chat(n, "Why?"), 0.3) == name) for name in ("test", "policy")
    }
    tested, trained = (_chat(first_turns[name], "Why?") for name in ("test", "policy"))
    other = _chat(first_turns["policy"], "How?")
    pairs = [
        Pair("a", tested, " yes", " no"), Pair("b", trained, " yes", " no"), Pair("c", trained, " yes", " no"),
        Pair("d", trained, " no", " yes"), Pair("e", other, " a long one", " b"),
    ]  # fmt: skip
    made = survey(pairs, 0.3)
    assert (made.prompts, made.repeated, made.contradicted, made.leaked) == (3, 1, 3, 1)
    assert made.chosen_longer == (4 * 0.5 + 1) / 5
    assert survey([pairs[0], pairs[4]], 0.3).leaked == 0


def _chat(number, question):
    return f"\n\nHuman: Hello {number}\n\nAssistant: Hello.\n\nHuman: {question}\n\nAssistant:"
