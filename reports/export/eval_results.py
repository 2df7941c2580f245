"""Results of a run as the hub's `.eval_results`: a YAML file for each configuration of a method."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import yaml

from reports.export.every_eval_ever import documents
from reports.results import Analysis


def eval_results(
    analysis: Analysis, manifest: Mapping[str, Any], organization: str, written: int, dataset: str
) -> dict[str, str]:
    """The text of ``.eval_results/NAME.yaml`` for the repository of every measured configuration, by path.

    Parameters
    ----------
    analysis, manifest, organization, written
        As for `reports.export.every_eval_ever.documents`.
    dataset : str
        The data set of the hub whose prompts were evaluated on; an objective is a task of it.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    date = datetime.fromtimestamp(written, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = dataset.rpartition("/")[2]
    files = {}
    for document in documents(analysis, manifest, organization, written).values():
        details = document["model_info"]["additional_details"]
        notes = f"prefrontier {document['eval_library']['version']}, mean over prompts, seeds {details['seeds']}"
        entries = [
            EvalResultEntry(
                dataset, result["evaluation_name"], result["score_details"]["score"], date=date, notes=notes
            )
            for result in document["evaluation_results"]
        ]
        text = yaml.safe_dump(eval_result_entries_to_yaml(entries), sort_keys=False)
        files[f"{document['model_info']['id']}/.eval_results/{name}.yaml"] = text
    return files
