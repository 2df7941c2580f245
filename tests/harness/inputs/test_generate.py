"""Prompts of several turns, answered turn by turn with the policy's own replies."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from harness.inputs.generate import answer, answer_turns, conversations
from harness.inputs.prompt_sets import Prompt, rows_of
from harness.records import Generation, Status
from harness.run.assemble import _one_cluster_per_question
from suites.generation.decoding import Decoding
from suites.generation.huggingface import generate
from tests.chat_model import save_chat_model
from trainers.tokens.loading import load_tokenizer
from trainers.tokens.text import encode_prompt

SHORT = Prompt("a", "w1")
LONG = Prompt("b", "w2", later=(Prompt("b, turn 2", "w3"), Prompt("b, turn 3", "w4")))
ROWS = [row for prompt in (LONG, SHORT) for row in rows_of(prompt, "{prompt}")]


class Echo:
    """A generator that answers with the number of turns it was asked with, and fails for some keys."""

    def __init__(self, failing=()):
        self.asked, self.failing = [], failing

    def __call__(self, prompts, decoding):
        self.asked.append(dict(prompts))
        rows = [(key, prompt, trial) for key, prompt in prompts.items() for trial in range(decoding.samples)]
        return [
            Generation(f"{key}#{trial}", key, "", f"{len(prompt)}-{trial}", 1,
                       Status.ERROR if key in self.failing else Status.OK, trial)
            for key, prompt, trial in rows
        ]  # fmt: skip


def test_each_turn_is_asked_behind_the_policy_s_own_replies_of_its_trial():
    echo = Echo()
    made = answer_turns(echo, ROWS, Decoding(4, samples=2))
    assert [set(asked) for asked in echo.asked] == [
        {"a", "b"}, {"b, turn 2#0", "b, turn 2#1"}, {"b, turn 3#0", "b, turn 3#1"},
    ]  # fmt: skip
    last = echo.asked[2]["b, turn 3#1"]
    assert [turn["content"] for turn in last] == ["w2", "1-1", "w3", "3-0", "w4"]
    assert [turn["role"] for turn in last] == ["user", "assistant", "user", "assistant", "user"]
    assert sorted((g.item, g.cluster, g.trial) for g in made) == sorted(
        (f"{row['id']}#{trial}", row["id"], trial) for row in ROWS for trial in range(2)
    )
    assert conversations(ROWS, made)["b, turn 3#1"] == last


def test_a_turn_without_a_reply_before_it_is_an_error_and_is_not_asked():
    echo = Echo(failing={"b, turn 2#0"})
    made = {g.item: g for g in answer_turns(echo, ROWS, Decoding(4, samples=2))}
    assert set(echo.asked[2]) == {"b, turn 3#1"}
    assert made["b, turn 3#0"].status is Status.ERROR and made["b, turn 3#1"].status is Status.OK


@pytest.fixture(scope="module")
def policy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    save_chat_model(folder / "checkpoint")
    return folder


def test_later_turns_are_sampled_from_a_real_policy(policy, tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    out.mkdir()
    (data / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    asked = []

    def spied(checkpoint, prompts, decoding, device):
        asked.extend(prompts.values())
        return generate(checkpoint, prompts, decoding, device)

    parameters = {"decoding": {"max_new_tokens": 4, "temperature": 0.0}, "device": "cpu"}
    answer(spied, parameters, {"policy": policy, "data": data}, out)
    frame = pd.read_parquet(out / "generations.parquet").set_index("cluster")
    tokenizer = load_tokenizer(policy / "checkpoint")
    second = [
        {"role": "user", "content": "w2"}, {"role": "assistant", "content": frame.response["b"]},
        {"role": "user", "content": "w3"},
    ]  # fmt: skip
    assert second in asked and len(encode_prompt(tokenizer, second)) > 6
    assert frame.prompt["b, turn 2"] == f"\n\nHuman: w2\n\nAssistant: {frame.response['b']}\n\nHuman: w3\n\nAssistant:"
    assert frame.prompt["a"] == "w1"


def test_the_turns_of_a_prompt_are_one_cluster():
    table = pd.DataFrame({"cluster": ["a", "b", "b, turn 2", "b, turn 3"]})
    merged = _one_cluster_per_question(table, {"b, turn 2": "b", "b, turn 3": "b"})
    assert merged.cluster.tolist() == ["a", "b", "b", "b"]
