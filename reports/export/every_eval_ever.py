"""Results of a run in Every Eval Ever's schema: one document for each configuration of a method, over its seeds."""

from __future__ import annotations

import json
import math
import re
import uuid
from collections.abc import Mapping
from typing import Any

from harness.records import Objective
from reports.grids import Point
from reports.page.markdown import titles
from reports.results import Analysis, PointResult
from reports.statistics.estimates import Estimate

SCHEMA = "0.2.1"
"""Version of ``eval.schema.json`` (github.com/evaleval/every_eval_ever) that is written."""
LIBRARY = "prefrontier"

Document = dict[str, Any]


def documents(analysis: Analysis, manifest: Mapping[str, Any], organization: str, written: int) -> dict[str, Document]:
    """One document per measured configuration, by its path in the database's layout.

    Parameters
    ----------
    analysis : Analysis
    manifest : mapping
        That of the run.
    organization : str
        Who evaluated; also the developer of the policies that were trained here.
    written : int
        Seconds since 1970.
    """
    made = {}
    for result in analysis.points.values():
        document = _document(analysis, result, manifest, organization, written)
        model = document["model_info"]["id"]
        name = uuid.uuid5(uuid.NAMESPACE_URL, document["evaluation_id"])
        made[f"data/{_slug(_experiment(manifest))}/{model}/{name}.json"] = document
    return made


def scores(document: Mapping[str, Any]) -> dict[str, tuple[float, float | None, float | None]]:
    """The score and its interval of every evaluation of a document, by name; what `documents` wrote comes back."""
    read = {}
    for result in document["evaluation_results"]:
        details = result["score_details"]
        interval = details.get("uncertainty", {}).get("confidence_interval", {})
        read[result["evaluation_name"]] = (details["score"], interval.get("lower"), interval.get("upper"))
    return read


def _document(
    analysis: Analysis, result: PointResult, manifest: Mapping[str, Any], organization: str, written: int
) -> Document:
    point, experiment = result.point, _experiment(manifest)
    trained = analysis.costs.get(point.id, {}).get("trained_tokens", 0.0) > 0
    developer = organization if trained else "unknown"
    model = f"{_slug(developer)}/{_slug(f'{experiment}-{point.label}-{point.size}')}"
    grids = analysis.study.grids
    results = [
        _result(grids[name].objective, estimate, _largest(analysis, point, name), experiment)
        for name in grids
        if (estimate := result.best(name)) is not None and math.isfinite(estimate.value)
    ]
    return {
        "schema_version": SCHEMA,
        "evaluation_id": f"{experiment}/{model}/{written}",
        "retrieved_timestamp": str(written),
        "source_metadata": {
            "source_name": titles(manifest)[0],
            "source_type": "evaluation_run",
            "source_organization_name": organization,
            "evaluator_relationship": "first_party" if trained else "third_party",
        },
        "eval_library": {
            "name": LIBRARY,
            "version": str((manifest.get("libraries") or {}).get(LIBRARY, "unknown")),
        },
        "model_info": {
            "name": f"{point.label}, {point.size}",
            "id": model,
            "developer": developer,
            "additional_details": {
                "method": point.method,
                "size": point.size,
                "seeds": ", ".join(map(str, point.seeds)),
                "parameters": json.dumps(point.parameters, sort_keys=True, default=str),
            },
        },
        "evaluation_results": results,
    }


def _result(objective: Objective, estimate: Estimate, largest: float, experiment: str) -> Document:
    """One objective's mean over prompts and seeds, with its interval."""
    low, high = objective.bounds
    unbounded = not (math.isfinite(low) and math.isfinite(high))
    uncertainty: Document = {"num_samples": estimate.n}
    if estimate.se is not None:
        uncertainty["standard_error"] = {"value": estimate.se, "method": estimate.method}
    if estimate.low is not None and estimate.high is not None:
        uncertainty["confidence_interval"] = {
            "lower": estimate.low, "upper": estimate.high, "confidence_level": estimate.level, "method": estimate.method
        }  # fmt: skip
    return {
        "evaluation_name": objective.name,
        "source_data": {"dataset_name": f"evaluation prompts of {experiment}", "source_type": "other"},
        "metric_config": {
            "evaluation_description": objective.label,
            "lower_is_better": objective.direction == "minimize",
            "score_type": "continuous",
            "min_score": low if math.isfinite(low) else min(0.0, estimate.value),
            "max_score": high if math.isfinite(high) else largest,
            "additional_details": {
                "unit": objective.unit,
                "role": objective.role,
                **({"bounds": "the objective has none; the largest value of a prompt is given"} if unbounded else {}),
            },
        },
        "score_details": {
            "score": estimate.value,
            "details": {"items_without_a_value": str(estimate.n_missing)},
            "uncertainty": uncertainty,
        },
    }


def _largest(analysis: Analysis, point: Point, objective: str) -> float:
    """The largest value of an item of a configuration."""
    items = analysis.study.records.items
    values = items[(items.objective == objective) & items.cell.isin(point.cells)].value
    return float(values.max()) if values.notna().any() else 0.0


def _experiment(manifest: Mapping[str, Any]) -> str:
    named = manifest.get("experiment") or "run"
    return str(named.get("name", "run") if isinstance(named, Mapping) else named)


def _slug(text: str) -> str:
    """A part of a path or of an id.

    Examples
    --------
    >>> _slug("hh-DPO beta=0.1-1m")
    'hh-DPO-beta-0.1-1m'
    """
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "unnamed"
