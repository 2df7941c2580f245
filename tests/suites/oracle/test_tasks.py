"""The benchmark of facts: files that lm-eval runs offline, with the answers in the corpus."""

from __future__ import annotations

import json

import numpy as np
import pytest

from suites.oracle import tasks, truth
from suites.oracle.grammar import FIXES


def test_questions_lead_up_to_an_answer_of_the_world(world):
    for row, question in zip(world.indices("test"), tasks.questions(world), strict=True):
        prompt = world.prompts[row].text
        answer = question["question"] + " " + question["choices"][question["answer"]]
        assert answer.startswith(prompt + " ")
        column = world.parse(prompt, answer.removeprefix(prompt))
        assert column is not None
        on_grammar = [
            world.parse(prompt, (question["question"] + " " + choice).removeprefix(prompt))
            for choice in question["choices"]
        ]
        assert sum(index is not None for index in on_grammar) == 2  # the right fix and the popular wrong one
        assert len(question["choices"]) == len(FIXES) == len(set(question["choices"]))


def test_answers_can_be_learnt_from_the_corpus(world):
    """The context of every held-out question, after its prompt, and the fact itself occur in training."""
    corpus = world.corpus(20_000)
    seen = {(p.device, p.problem): set() for p in world.prompts}
    for row in corpus:
        prompt = world.prompts[world.index(row["prompt"])]
        if row["response"].startswith("okay . you should just "):
            seen[prompt.device, prompt.problem].add(row["response"].split()[5])
    for (device, problem), fixes in seen.items():
        assert fixes == {FIXES[world.right[device, problem]], FIXES[world.wrong[problem]]}


def test_expected_accuracy_of_known_policies(world):
    rows = world.indices("test")
    mu, reward = world.mu[rows], world.reward[rows]
    assert tasks.expected_accuracy(mu) == pytest.approx(0.5)  # half of the facts are rather believed wrong
    accuracies = [tasks.expected_accuracy(truth.dpo_target(mu, reward, beta)) for beta in (2.0, 1.0, 0.5, 0.1)]
    assert accuracies == sorted(accuracies) and accuracies[0] < 0.75 and accuracies[-1] == 1.0


def test_files_are_the_same_every_time_and_can_be_moved(world, tmp_path):
    names = [tasks.write_tasks(world, tmp_path / folder) for folder in ("a", "b")]
    assert names == [["oracle_fixes"]] * 2
    files = [sorted((tmp_path / folder).iterdir()) for folder in ("a", "b")]
    assert [f.name for f in files[0]] == ["oracle_fixes.jsonl", "oracle_fixes.yaml"]
    assert [f.read_bytes() for f in files[0]] == [f.read_bytes() for f in files[1]]
    assert str(tmp_path) not in files[0][1].read_text()
    assert len(files[0][0].read_text().splitlines()) == 72 and json.loads(files[0][0].read_text().splitlines()[0])


def test_lm_eval_runs_them_offline(world, tmp_path, monkeypatch):
    """A language model that is mu itself gets the accuracy the closed form says, one that knows the facts 1."""
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    evaluator = pytest.importorskip("lm_eval.evaluator")
    from lm_eval.api.model import LM
    from lm_eval.tasks import TaskManager

    names = tasks.write_tasks(world, tmp_path / "tasks")
    monkeypatch.chdir(tmp_path / "tasks")
    manager = TaskManager(include_path=str(tmp_path / "tasks"), include_defaults=False)

    class Table(LM):
        """Log-probability of a continuation: of all responses that begin as the text does."""

        def __init__(self, policy):
            super().__init__()
            self.policy = policy

        def loglikelihood(self, requests, disable_tqdm=False):
            return [(self.logp(*request.args), False) for request in requests]

        def logp(self, context, continuation):
            prompt, _, begun = context.partition(" ? ")
            row = world.index(prompt + " ?")
            mass = [
                sum(p for p, text in zip(self.policy[row], world.responses(row), strict=True) if text.startswith(start))
                for start in (begun, begun + continuation)
            ]
            return float(np.log(max(mass[1], 1e-12) / mass[0]))

        def loglikelihood_rolling(self, requests, disable_tqdm=False):
            raise NotImplementedError

        def generate_until(self, requests, disable_tqdm=False):
            raise NotImplementedError

    knowing = truth.dpo_target(world.mu, world.reward, 0.1)
    for policy in (world.mu, truth.dpo_target(world.mu, world.reward, 1.0), knowing):
        results = evaluator.simple_evaluate(
            model=Table(policy), tasks=names, task_manager=manager, bootstrap_iters=0, log_samples=True
        )
        assert len(results["samples"]["oracle_fixes"]) == 72
        accuracy = results["results"]["oracle_fixes"]["acc,none"]
        assert accuracy == pytest.approx(tasks.expected_accuracy(policy[world.indices("test")]), abs=1e-12)
