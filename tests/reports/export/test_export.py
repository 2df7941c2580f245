"""Results in the forms of others: what is written comes back, and has what their schemas require."""

from __future__ import annotations

import json
import math

import pytest
import yaml
from huggingface_hub import parse_eval_result_entries

from harness.cli.export import Target, write_export
from harness.errors import UsageError
from reports.export.eval_results import eval_results
from reports.export.every_eval_ever import documents, scores

MANIFEST = {"experiment": {"name": "made", "title": "A comparison"}, "libraries": {"prefrontier": "0.1"}}
WRITTEN = 1_700_000_000
RELATIONS = ("first_party", "third_party", "collaborative", "other")


def test_scores_and_intervals_come_back_from_every_eval_ever(analysis):
    made = documents(analysis, MANIFEST, "lab", WRITTEN)
    measured = [result for result in analysis.points.values() if result.checkpoints]
    assert len(made) == len(analysis.points) and len(set(made)) == len(made)
    for document, result in zip(made.values(), analysis.points.values(), strict=True):
        read = scores(json.loads(json.dumps(document, allow_nan=False)))
        for name, (value, low, high) in read.items():
            estimate = result.best(name)
            assert (value, low, high) == (estimate.value, estimate.low, estimate.high)
        assert set(read) == set(result.checkpoints) | {name for name, best in result.method.items() if best}
    assert measured


def test_a_document_has_what_the_schema_requires(analysis):
    """The requirements of eval.schema.json 0.2.1, by hand; its validator needs a newer Python."""
    for path, document in documents(analysis, MANIFEST, "lab", WRITTEN).items():
        required = {
            "schema_version",
            "evaluation_id",
            "retrieved_timestamp",
            "source_metadata",
            "eval_library",
            "model_info",
        }
        assert set(document) == required | {"evaluation_results"}
        assert path.split("/")[:2] == ["data", "made"] and document["model_info"]["id"] in path
        assert document["retrieved_timestamp"] == str(WRITTEN) and document["schema_version"] == "0.2.1"
        assert document["source_metadata"]["evaluator_relationship"] in RELATIONS
        assert all(isinstance(value, str) for value in document["model_info"]["additional_details"].values())
        for result in document["evaluation_results"]:
            metric, details = result["metric_config"], result["score_details"]
            assert metric["score_type"] == "continuous" and isinstance(metric["lower_is_better"], bool)
            assert metric["min_score"] <= details["score"] <= metric["max_score"]
            assert math.isfinite(metric["max_score"]) and result["source_data"]["source_type"] == "other"
            interval = details["uncertainty"].get("confidence_interval")
            assert interval is None or interval["lower"] <= details["score"] <= interval["upper"]


def test_the_hub_reads_its_eval_results(analysis):
    files = eval_results(analysis, MANIFEST, "lab", WRITTEN, "owner/prompts")
    assert len(files) == len(analysis.points)
    for (path, text), result in zip(files.items(), analysis.points.values(), strict=True):
        assert path.endswith("/.eval_results/prompts.yaml")
        entries = parse_eval_result_entries(yaml.safe_load(text))
        assert {entry.task_id: entry.value for entry in entries} == {
            name: result.best(name).value for name in analysis.study.grids if result.best(name)
        }
        assert {(entry.dataset_id, entry.date) for entry in entries} == {("owner/prompts", "2023-11-14T22:13:20Z")}


@pytest.mark.parametrize(
    ("target", "dataset", "message"),
    [
        (Target.EVAL_RESULTS, None, "--dataset: the hub's .eval_results name"),
        (Target.EVERY_EVAL_EVER, None, "no records here"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, target, dataset, message):
    if target is Target.EVAL_RESULTS:
        (tmp_path / "records").mkdir()
    with pytest.raises(UsageError, match=message):
        write_export(tmp_path, target, "lab", dataset, tmp_path / "out")
    assert not (tmp_path / "out").exists()
