"""Benchmarks through lm-eval on local task files: scores against log-likelihoods computed here, rows, refusals."""

from __future__ import annotations

import json
import logging
import random
import shutil

import numpy as np
import pytest
import torch
import yaml

from harness.records import Status
from suites.benchmarks.runner import _located, benchmark
from tests.chat_model import save_chat_model
from trainers.tokens.loading import load_tokenizer
from trainers.tokens.text import encode_prompt, prompt_text

TASK = {
    "task": "facts",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "facts.jsonl"}},
    "test_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{question}}",
    "doc_to_choice": "{{choices}}",
    "doc_to_target": "{{answer}}",
    "metric_list": [{"metric": "acc"}],
}
COPY = {
    "task": "copy",
    "dataset_path": "json",
    "dataset_kwargs": {"data_files": {"test": "facts.jsonl"}},
    "test_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{question}}",
    "doc_to_target": "{{choices[0]}}",
    "generation_kwargs": {"max_gen_toks": 2, "do_sample": False, "until": ["\n"]},
    "metric_list": [{"metric": "exact_match"}],
}


@pytest.fixture(scope="module")
def questions():
    rng = random.Random(0)
    words = [f"w{i}" for i in range(60)]
    return [
        {
            "question": " ".join(rng.choices(words, k=rng.randint(2, 8))),
            "choices": [" ".join(rng.sample(words, 1 + i % 2)) for _ in range(4)],
            "answer": rng.randrange(4),
        }
        for i in range(30)
    ]


@pytest.fixture(scope="module")
def tasks_dir(tmp_path_factory, questions):
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "facts.jsonl").write_text("\n".join(map(json.dumps, questions)))
    (folder / "facts.yaml").write_text(yaml.safe_dump(TASK))
    (folder / "copy.yaml").write_text(yaml.safe_dump(COPY))
    return folder


@pytest.fixture(scope="module")
def items(checkpoint, tasks_dir):
    return benchmark(checkpoint, tasks_dir, ["facts"])


def test_items_are_those_of_the_log_likelihoods(items, questions, tiny_llama, word_tokenizer):
    """Every question answered by hand: the choice of the largest summed log-probability after BOS and question."""

    def logp(question: str, choice: str) -> float:
        context, answer = (word_tokenizer(t, add_special_tokens=False)["input_ids"] for t in (question, choice))
        ids = torch.tensor([[1, *context, *answer]])
        with torch.inference_mode():
            logps = torch.log_softmax(tiny_llama(ids).logits[0, :-1].float(), -1)
        return float(sum(logps[len(context) + i, token] for i, token in enumerate(answer)))

    expected = [
        float(np.argmax([logp(q["question"], choice) for choice in q["choices"]]) == q["answer"]) for q in questions
    ]
    assert [item.value for item in items] == expected
    assert 0 < sum(expected) < len(expected)


def test_rows(items):
    assert [item.item for item in items] == [f"facts/{i}" for i in range(30)]
    assert all((item.objective, item.status, item.cluster) == ("accuracy", Status.OK, item.item) for item in items)


def test_batch_size_and_a_moved_folder_change_nothing(items, checkpoint, tasks_dir, tmp_path, monkeypatch):
    moved = tmp_path / "moved"
    shutil.copytree(tasks_dir, moved)
    monkeypatch.chdir(tmp_path)
    assert benchmark(checkpoint, moved, ["facts"], batch_size=3) == items
    assert sorted(path.name for path in tmp_path.iterdir()) == ["moved"]


def test_limit_takes_the_first(items, checkpoint, tasks_dir):
    assert benchmark(checkpoint, tasks_dir, ["facts"], limit=5) == items[:5]


def test_leave_to_execute_code_changes_no_limit(items, checkpoint, tasks_dir):
    assert benchmark(checkpoint, tasks_dir, ["facts"], limit=3, allow_code_execution=True) == items[:3]


def test_generated_answers_are_matched(checkpoint, tasks_dir, questions, tmp_path, tiny_llama, word_tokenizer):
    """A question whose first choice is the model's own greedy answer counts, another does not."""
    rows = [dict(row) for row in questions[:4]]
    for row in rows[:2]:
        ids = word_tokenizer(row["question"], return_tensors="pt")
        new = tiny_llama.generate(**ids, max_new_tokens=2, do_sample=False)[0, ids["input_ids"].shape[1] :]
        row["choices"] = [word_tokenizer.decode(new, skip_special_tokens=True), *row["choices"][1:]]
    (tmp_path / "facts.jsonl").write_text("\n".join(map(json.dumps, rows)))
    shutil.copy(tasks_dir / "copy.yaml", tmp_path)
    scored = benchmark(checkpoint, tmp_path, ["copy"])
    assert [item.value for item in scored] == [1.0, 1.0, 0.0, 0.0]
    assert scored[0].detail == {"metric": "exact_match"}


def test_global_state_is_left_alone(checkpoint, tasks_dir):
    """simple_evaluate seeds Python's, numpy's and torch's global generators."""
    random.seed(7), np.random.seed(7), torch.manual_seed(7)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state()
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    benchmark(checkpoint, tasks_dir, ["facts"], limit=2)
    assert random.getstate() == before[0] and np.random.get_state()[1].tolist() == before[1]
    assert torch.equal(torch.get_rng_state(), before[2])
    assert root.level == level and root.handlers == handlers


def test_functions_and_absolute_files_in_task_files_are_kept(tmp_path):
    (tmp_path / "t.yaml").write_text(
        "task: t\nprocess_docs: !function utils.process\ndataset_kwargs:\n"
        "  data_files: {test: [a.jsonl, /b.jsonl, 'https://host/c.jsonl']}\n"
    )
    with _located(tmp_path) as folder:
        text = (folder / "t.yaml").read_text()
    assert "process_docs: !function 'utils.process'" in text or "process_docs: !function utils.process" in text
    assert str(tmp_path / "a.jsonl") in text and "- /b.jsonl" in text and "- https://host/c.jsonl" in text


def test_bad_input(checkpoint, tasks_dir, tmp_path):
    with pytest.raises(ValueError, match="defines no task fakts; it has copy, facts"):
        benchmark(checkpoint, tasks_dir, ["fakts"])
    with pytest.raises(ValueError, match="does not exist"):
        benchmark(checkpoint, tmp_path / "nowhere", ["facts"])


def test_questions_are_asked_through_the_chat_template(tmp_path, tasks_dir, questions, monkeypatch):
    """Generation is given the very tokens that a policy is asked with; choices follow the same text."""
    from lm_eval.models.huggingface import HFLM

    folder = save_chat_model(tmp_path / "model")
    tokenizer = load_tokenizer(folder)
    contexts, choices = [], []
    generate, score = HFLM._model_generate, HFLM._loglikelihood_tokens

    def generating(self, context, *args, **options):
        contexts.extend(context.tolist())
        return generate(self, context, *args, **options)

    def scoring(self, requests, *args, **options):
        choices.extend(context + continuation for _, context, continuation in requests)
        return score(self, requests, *args, **options)

    monkeypatch.setattr(HFLM, "_model_generate", generating)
    monkeypatch.setattr(HFLM, "_loglikelihood_tokens", scoring)
    items = benchmark(folder, tasks_dir, ["facts", "copy"], limit=3, batch_size=1)
    assert len(items) == 6 and {item.status for item in items} == {Status.OK}
    asked = [[{"role": "user", "content": question["question"]}] for question in questions[:3]]
    assert sorted(contexts) == sorted(encode_prompt(tokenizer, prompt) for prompt in asked)
    texts = {prompt_text(tokenizer, prompt) + choice for prompt, question in zip(asked, questions, strict=False)
             for choice in question["choices"]}  # fmt: skip
    assert {tokenizer.decode(ids) for ids in choices} == texts
