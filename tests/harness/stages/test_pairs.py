"""Pairs as the stages take them: texts or messages as they were read, each conversation in one role."""

from __future__ import annotations

import json

import pytest

from harness.inputs.roles import role
from harness.stages import pairs
from trainers.data.records import DataError

PARAMETERS = {"pairs": 100, "judge_share": 0.3, "test_prompts": 50, "on_invalid": "error"}


@pytest.fixture
def conversations(tmp_path):
    """Two pairs to each of forty first questions, in UltraFeedback's form."""

    def turns(*contents):
        return [{"role": ("user", "assistant")[n % 2], "content": content} for n, content in enumerate(contents)]

    rows = [
        {"id": f"{n}/{k}", "prompt": f"Q{n}", "chosen": turns(f"Q{n}", f"good {k}"), "rejected": turns(f"Q{n}", "bad")}
        for n in range(40)
        for k in range(2)
    ]
    file = tmp_path / "conversations.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def texts(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_conversations_stay_messages_and_each_has_one_role(conversations, tmp_path):
    mixture = [{"split": "train", "form": "messages"}]
    pairs.run({**PARAMETERS, "mixture": mixture}, {"file 0": conversations}, tmp_path)
    by_role = {role: texts(tmp_path / f"{role}.jsonl") for role in ("pairs", "judge_pairs", "prompts")}
    counts = json.loads((tmp_path / "counts.json").read_text())
    assert counts["policy"] + counts["judge"] + counts["test"] == 80 and all(by_role.values())
    # Both rows of a conversation are pairs, and one test prompt.
    assert len(by_role["prompts"]) == counts["distinct test prompts"] == counts["test"] / 2
    assert len(by_role["pairs"]) + len(by_role["judge_pairs"]) == 80 - counts["test"]
    prompts = [{row["prompt"][0]["content"] for row in rows} for rows in by_role.values()]
    assert len(set.union(*prompts)) == sum(map(len, prompts)) == 40
    row = by_role["pairs"][0]
    number = row["id"].partition("/")[0]
    assert row["prompt"] == [{"role": "user", "content": f"Q{number}"}]
    assert row["rejected"] == [{"role": "assistant", "content": "bad"}]
    assert by_role["prompts"][0]["reference"].startswith("good")
    document = texts(tmp_path / "corpus.jsonl")[0]
    assert document["prompt"] == f"\n\nHuman: Q{number}\n\nAssistant:" and document["response"].startswith(" good")


def test_rows_of_plain_pairs_may_be_conversations(conversations, tmp_path):
    rows = [json.loads(line) for line in conversations.read_text().splitlines()]
    conversations.write_text("".join(json.dumps({**row, "prompt": None}) + "\n" for row in rows))
    pairs.run({**PARAMETERS, "split": "train"}, {"file": conversations}, tmp_path)
    row = texts(tmp_path / "pairs.jsonl")[0]
    assert row["prompt"][0]["content"] == f"Q{row['id'].partition('/')[0]}"


def test_a_role_without_a_pair_is_refused_with_the_counts(conversations, tmp_path):
    rows = [json.loads(line) for line in conversations.read_text().splitlines()]
    draws = [role(f"\n\nHuman: {row['prompt']}\n\nAssistant:", 0.3) for row in rows]
    chosen = [row for row, role in zip(rows, draws, strict=True) if role != "test"]
    conversations.write_text("".join(json.dumps(row) + "\n" for row in chosen) + "{}\n")
    counts = (
        f"0 test prompts, {draws.count('judge')} pairs for the judge, {draws.count('policy')} pairs for the policies"
    )
    with pytest.raises(DataError, match=f"{counts}; 1 rows left out: no 'chosen'"):
        mixture = [{"split": "train", "form": "messages"}]
        pairs.run({**PARAMETERS, "mixture": mixture, "on_invalid": "drop"}, {"file 0": conversations}, tmp_path)


def test_texts_and_conversations_are_mixed_as_they_are(conversations, tmp_path):
    rows = [json.loads(line) for line in conversations.read_text().splitlines()]
    texts_ = [{"prompt": f"\n\nHuman: {n}\n\nAssistant:", "chosen": " a", "rejected": " b"} for n in range(60)]
    conversations.write_text("".join(json.dumps(row) + "\n" for row in [*texts_, *rows]))
    mixture = [{"split": "train", "form": "messages"}]
    pairs.run({**PARAMETERS, "mixture": mixture}, {"file 0": conversations}, tmp_path)
    kept = texts(tmp_path / "pairs.jsonl")
    assert {type(row["prompt"]) is type(row["chosen"]) for row in kept} == {True}
    assert {type(row["prompt"]) for row in kept} == {str, list}


@pytest.mark.parametrize(("template", "kind"), [("auto", list), ("none", str)])
def test_texts_that_nothing_separates_are_turns_of_a_dialogue(tmp_path, template, kind):
    file = tmp_path / "rows.jsonl"
    rows = [{"prompt": f"Why {n}?", "chosen": "Because.", "rejected": "Go."} for n in range(60)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs.run({**PARAMETERS, "split": "train", "template": template}, {"file": file}, tmp_path)
    assert {type(row["prompt"]) for row in texts(tmp_path / "pairs.jsonl")} == {kind}
    document = texts(tmp_path / "corpus.jsonl")[0]
    joined = document["prompt"] + document["response"]
    assert joined.startswith("\n\nHuman: Why") == (kind is list) and joined.endswith("Because.")


def test_test_prompts_may_be_limited_to_a_number_of_turns(tmp_path):
    def transcript(n, turns):
        return "".join(f"\n\nHuman: Q{n}.{turn}\n\nAssistant:{' A' * (turn < turns - 1)}" for turn in range(turns))

    rows = [{"id": f"{n}", "prompt": transcript(n, 1 + n % 3), "chosen": " yes", "rejected": " no"} for n in range(120)]
    file = tmp_path / "transcripts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    counted = {}
    for most in (None, 1, 2):
        pairs.run({**PARAMETERS, "split": "train", "test_turns": most}, {"file": file}, tmp_path)
        counted[most] = [pairs.turns_of_user(row["prompt"]) for row in texts(tmp_path / "prompts.jsonl")]
        assert len(texts(tmp_path / "judge_pairs.jsonl")) > 0
    assert {most: max(turns) for most, turns in counted.items()} == {None: 3, 1: 1, 2: 2}
    assert counted[1] == [turns for turns in counted[None] if turns == 1]
