"""Logs of other harnesses: what they hold, and one line for what is not known."""

from __future__ import annotations

import json

import pytest

from harness.errors import UsageError
from harness.inputs.results import read_results
from harness.inputs.results.result import Scale
from tests.paths import SHARED

SHARE = Scale("maximize", 0.0, 1.0)


def sample(doc: int, **others) -> dict:
    """A row of lm-eval's samples of a task that ranks given answers."""
    arguments = [["Q", " a"], ["Q", " b"]]
    row = {"doc_id": doc, "doc": {"question": "Q"}, "target": 0, "arguments": arguments, "resps": [[-1.0, True]]}
    return {
        **row,
        "filtered_resps": [],
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        "acc": 1.0,
        "acc_norm": 0.0,
    } | others


def test_samples_of_lm_eval_are_scores_by_task_and_metric(tmp_path, write):
    folder = tmp_path / "out"
    folder.mkdir()
    better = {"arc_easy": {"acc": True, "acc_norm": True}}
    (folder / "results_2024-05-01T10-11-12.1.json").write_text(
        json.dumps({"model_name": "pythia-70m", "higher_is_better": better, "results": {}})
    )
    rows = [sample(0), sample(1, acc=0.0)]
    path = folder / "samples_arc_easy_2024-05-01T10-11-12.1.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    form, results = read_results(folder)
    assert form.name == "lm_eval"
    assert [(r.generator, r.id, dict(r.scores)) for r in results] == [
        ("pythia-70m", "arc_easy/0", {"arc_easy/acc": 1.0, "arc_easy/acc_norm": 0.0}),
        ("pythia-70m", "arc_easy/1", {"arc_easy/acc": 0.0, "arc_easy/acc_norm": 0.0}),
    ]
    assert results[0].scales == {"arc_easy/acc": SHARE, "arc_easy/acc_norm": SHARE} and results[0].response is None


@pytest.mark.parametrize(
    "arguments", [[["Q: 1+1?", {"until": ["\n"]}]], {"gen_args_0": {"arg_0": "Q: 1+1?", "arg_1": {"until": ["\n"]}}}]
)
def test_the_filters_of_a_document_are_one_result_with_its_response(write, arguments):
    shared = {"arguments": arguments, "resps": [["It is 2."]], "metrics": ["exact_match"]}
    rows = [
        sample(0, filter="strict-match", exact_match=0.0, **shared),
        sample(0, filter="flexible-extract", exact_match=1.0, **shared),
    ]
    _, (result,) = read_results(write("samples_gsm8k.jsonl", rows))
    assert (result.prompt, result.response) == ("Q: 1+1?", "It is 2.")
    assert result.scores == {"gsm8k/exact_match,strict-match": 0.0, "gsm8k/exact_match,flexible-extract": 1.0}


@pytest.mark.parametrize("preference", [(1, 0.0), (2, 1.0), (1.25, 0.25), (0, 0.5), (None, None)])
def test_a_preference_of_alpaca_eval_is_a_win_of_the_second_model(write, preference):
    stated, win = preference
    row = {"instruction": "Q", "output_1": "a", "generator_1": "gpt4", "output_2": "b", "generator_2": "mine"}
    _, (result,) = read_results(write("annotations.jsonl", [row | {"annotator": "gpt", "preference": stated}]))
    assert (result.generator, result.response, result.reference) == ("mine", "b", "a")
    assert result.scores == {"win_rate": win} and result.detail == {"judge": "alpaca-eval:gpt"}


def inspect_log(**others) -> dict:
    samples = [
        {"id": 1, "epoch": 1, "input": "2+2?", "target": "4", "output": {"choices": [{"message": {"content": "4"}}]},
         "scores": {"match": {"value": "C"}, "grade": {"value": 7}}},
        {"id": 1, "epoch": 2, "input": "2+2?", "target": "4", "error": {"message": "timeout"}, "scores": None},
        {"id": 2, "epoch": 1, "input": [{"role": "user", "content": [{"type": "text", "text": "Hi"}]}], "target": "",
         "output": {"completion": "Hello"}, "scores": {"match": {"value": "I"}}},
    ]  # fmt: skip
    return {"version": 2, "status": "success", "eval": {"task": "sums", "model": "m"}, "samples": samples} | others


def test_a_log_of_inspect_has_responses_scores_and_epochs(tmp_path):
    (tmp_path / "log.json").write_text(json.dumps(inspect_log()))
    form, results = read_results(tmp_path / "log.json")
    assert form.name == "inspect"
    assert [(r.prompt, r.response, r.trial, r.status.value) for r in results] == [
        ("2+2?", "4", 0, "ok"), ("2+2?", None, 1, "error"), ("Hi", "Hello", 0, "ok"),
    ]  # fmt: skip
    assert results[0].scores == {"sums/match": 1.0, "sums/grade": 7.0} and results[0].scales == {"sums/match": SHARE}


def test_solutions_side_by_side_are_several_models(write):
    row = {
        "question": "Q",
        "ground_truth": "4",
        "6b": {"solution": "4", "is_correct": True},
        "1b": {"solution": "5", "is_correct": False},
    }
    _, results = read_results(write("solutions.jsonl", [row]))
    assert [(r.generator, r.response, r.reference, dict(r.scores)) for r in results] == [
        ("6b", "4", "4", {"is_correct": 1.0}), ("1b", "5", "4", {"is_correct": 0.0}),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("file", "form", "rows", "models", "scores"),
    [
        ("gsm8k/example_model_solutions.jsonl.gz", "solutions", 4 * 1319, 4, {"is_correct"}),
        ("reward_labelled_generations/toxicity_reward.jsonl.gz", "outputs", 1280, 1, {"reward"}),
        ("alpaca_eval_numeric/ae2_preferences.csv.gz", "scores", 19314, 24, {"preference", "chars_output_2"}),
    ],
)
def test_published_files_are_read_as_they_are(file, form, rows, models, scores):
    path = SHARED / file
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    found, results = read_results(path)
    assert (found.name, len(results), len({result.generator for result in results})) == (form, rows, models)
    assert scores <= results[0].scores.keys()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.json", inspect_log(version=9), "a log of inspect_ai of version 9: versions 1 to 2 are read"),
        ("log.json", inspect_log(samples=None), "a log of inspect_ai without samples"),
        ("samples_a.jsonl", sample(0, metrics=None), "no 'metrics': samples of lm-eval before 0.4.3 do not name them"),
        ("a.jsonl", {"instruction": "Q", "output_1": "a", "output_2": "b", "preference": 3}, "'preference' is not from 1 to 2"),
        ("run.eval", {}, "unknown kind of file"),
    ],
)  # fmt: skip
def test_a_log_that_is_not_known_is_one_line(tmp_path, name, content, message):
    (tmp_path / name).write_text(json.dumps(content))
    with pytest.raises(UsageError, match=message) as error:
        read_results(tmp_path / name)
    assert "\n" not in str(error.value)
