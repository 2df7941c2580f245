"""An experiment on a base with a chat template: messages from the file to training, sampling, judging and the report."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from transformers import AutoModelForCausalLM

from harness.cli.show import show_plan
from harness.plan.cells import make_plan
from harness.run.executors import executors  # noqa: F401  # registers what a job's stages may need
from harness.run.formats import described, finished_formats
from harness.run.job import Job, execute
from harness.spec.loading import load
from harness.store.store import Store
from reports.page.markdown import prompt_formats
from suites.judges.reward_model import RewardModelJudge
from tests.chat_model import save_chat_model
from tests.paths import TOY
from trainers.config import TrainConfig
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import read_pairs
from trainers.reward_model import RewardModel
from trainers.tokens.loading import load_tokenizer
from trainers.tokens.text import encode_prompt

CUT = {"max_new_tokens": 6, "samples": 1}
METHODS = (
    "{dpo: {}, relabelled: {method: dpo, data: {step: relabel}}, sampled: {method: dpo, data: {step: base_responses}},"
    " rloo: {parameters: {samples: 2}}}"
)
"""On the pairs, on their rewards, with samples of the base, and on samples of the policy."""


def rows():
    for n in range(60):
        head = f"\n\nHuman: w{n} w1?\n\nAssistant: w2 w3\n\nHuman: w4"
        yield {
            "chosen": f"{head}\n\nAssistant: The cat sat on the mat.",
            "rejected": f"{head}\n\nAssistant: It is a dog </s> with a hat.",
        }
    yield {"prompt": "w8 w9?", "chosen": " w5", "rejected": "w1"}
    silent = "\n\nHuman: w21\n\nAssistant: \n\nHuman: w9"
    yield {"chosen": f"{silent}\n\nAssistant: w5", "rejected": f"{silent}\n\nAssistant: w6"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chat")
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows()))
    save_chat_model(folder / "model")
    return folder


def planned(folder: Path, *overrides: str):
    data = {"source": "pairs", "path": str(folder / "pairs.jsonl"), "test_prompts": 4, "pairs": 16}
    base = [
        f"data={json.dumps(data)}", f"sizes={{chat: {{model: {folder / 'model'}}}}}", f"methods={METHODS}",
        "seeds=[0]", "sampling={samples: 2, max_new_tokens: 6}",
        "judge={kind: reward_model, training: {epochs: 1, batch_size: 8, micro_batch_tokens: 4096}}", f"decoding={json.dumps(CUT)}",
        "training={epochs: 1, batch_size: 8}", "suites=[win_rate, style]", "rewards={readability: 1.0}",
        "reference_point={win_rate: 0.0, readability: 0.0}",
    ]  # fmt: skip
    return make_plan(load(TOY, [*base, *overrides]))


@pytest.fixture(scope="module")
def run(folder):
    """The finished stages of an experiment, in this process."""
    plan, store = planned(folder), Store(folder / "store")
    for stage in plan.stages.values():
        execute(Job.of(stage, store))
    return plan, store


def artifact(run, kind):
    plan, store = run
    return store.path(next(key for key, stage in plan.stages.items() if stage.kind == kind))


def jsonl(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_transcripts_become_turns_and_plain_prompts_one(run):
    pairs = {row["prompt"][0]["content"]: row for row in jsonl(artifact(run, "conversations") / "pairs.jsonl")}
    turns = [row["prompt"] for row in pairs.values()]
    assert {tuple(turn["role"] for turn in prompt) for prompt in turns} <= {("user", "assistant", "user"), ("user",)}
    transcript = next(row for row in pairs.values() if len(row["prompt"]) == 3)
    assert [turn["content"] for turn in transcript["prompt"][1:]] == ["w2 w3", "w4"]
    assert transcript["chosen"] == [{"role": "assistant", "content": "The cat sat on the mat."}]


def test_a_pair_with_an_empty_turn_is_left_out_and_counted(run):
    counts = json.loads((artifact(run, "conversations") / "counts.json").read_text())
    assert counts["dropped"] == {"turn 2 (assistant) is empty": 1}
    pairs = [
        row for name in ("pairs", "judge_pairs") for row in jsonl(artifact(run, "conversations") / f"{name}.jsonl")
    ]
    assert pairs and all(turn["content"].strip() for row in pairs for turn in row["prompt"])


def test_training_and_generation_see_the_same_tokens(run):
    base, data = artifact(run, "pretrained") / "checkpoint", artifact(run, "conversations")
    tokenizer = load_tokenizer(base)
    pairs = read_pairs(data / "pairs.jsonl")
    encoded = encode_pairs(pairs, tokenizer, Limits(512))
    for pair, (start, size) in zip(pairs, encoded.prompts, strict=True):
        assert encoded.tokens[start : start + size].tolist() == encode_prompt(tokenizer, pair.prompt)
    ends = encoded.tokens[encoded.responses.sum(-1) - 1]
    assert (ends == tokenizer.convert_tokens_to_ids("</s>")).all() and encoded.complete.all()


def test_a_trained_policy_ends_its_turns_wherever_it_is_loaded(run):
    saved = AutoModelForCausalLM.from_pretrained(artifact(run, "align") / "checkpoint")
    assert 2 in saved.generation_config.eos_token_id


def test_responses_are_judged_in_their_conversation(run):
    generations = pd.read_parquet(artifact(run, "generate") / "generations.parquet")
    assert (
        generations.prompt.str.startswith("\n\nHuman: ").all() and not generations.prompt.str.contains("<user>").any()
    )
    scores = pd.read_parquet(artifact(run, "score_win_rate") / "items.parquet")
    assert len(scores) == len(generations) == 4 and set(scores.status) <= {"ok", "truncated", "empty"}


def test_the_judge_reads_conversations_as_it_was_trained(run):
    checkpoint = artifact(run, "train_judge") / "checkpoint"
    judge = RewardModelJudge(checkpoint)
    pairs = read_pairs(artifact(run, "conversations") / "judge_pairs.jsonl")
    encoded = encode_pairs(pairs, judge.tokenizer, Limits(512))
    trained = RewardModel(judge.model, judge.tokenizer, Limits(512), TrainConfig()).score_encoded(encoded)
    asked = judge.score([pair.prompt for pair in pairs], [pair.chosen[0]["content"] for pair in pairs])
    assert asked == pytest.approx(trained[:, 0].tolist(), abs=1e-5)


def test_the_plan_and_the_report_show_the_format_and_the_first_example(run, folder, capsys):
    plan, store = run
    tokenizer = load_tokenizer(folder / "model")
    for place in (
        Store(folder / "empty"),
        store,
    ):  # before the run from the user's files, afterwards from the artifacts
        show_plan(plan, place, folder / "out")
        shown = capsys.readouterr().out
        assert "prompts of chat: the base's chat template (sha256 " in shown and "a response ends with </s>" in shown
        (line,) = [line for line in shown.splitlines() if "first prompt" in line]
        ids = json.loads(line.partition("token ids ")[2])
        text = line.partition("first prompt ")[2].partition(", token ids")[0]
        assert tokenizer.decode(ids) == eval(text, {"__builtins__": {}})
        assert text.startswith("'<user> w") and text.endswith("<assistant> '")
    made = finished_formats(plan, store)["chat"]
    assert prompt_formats({"prompt_formats": {"chat": described(made)}}) == [f"Prompts of chat: {made}."]
    assert made.response_tokens[-1] == 2 and json.dumps(described(made))


def test_the_experiment_can_do_without_the_template(folder, capsys):
    plan = planned(folder, "data.template=none")
    kinds = {stage.kind: stage for stage in plan.stages.values()}
    assert "conversations" not in kinds
    execute(Job.of(kinds["pretrained"], store := Store(folder / "plain")))
    assert not load_tokenizer(store.path(kinds["pretrained"].key) / "checkpoint").chat_template
    show_plan(plan, store, folder / "out")
    shown = capsys.readouterr().out
    assert "prompts of chat: plain text" in shown and "<user>" not in shown and "Human: w" in shown


def test_the_bytes_of_the_template_are_in_the_keys(folder):
    def keys():
        return {stage.kind: stage.key for stage in planned(folder).stages.values()}

    before, file = keys(), folder / "model" / "chat_template.jinja"
    template = file.read_text()
    file.write_text(template + " ")
    after = keys()
    file.write_text(template)
    assert before == keys()
    assert {kind for kind in before if before[kind] == after[kind]} == {"pairs"}
