"""Samples that lm-eval logs with ``--log_samples``: every document of a task with its metrics."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.inputs.results.form import Located, columns, form
from harness.inputs.results.result import Result, Scale
from trainers.data.fields import Fields, Unusable

SHARES = frozenset(
    ["acc", "acc_norm", "acc_mutual_info", "exact_match", "f1", "em", "mc1", "mc2", "pass@1", "contains"]
)
"""Metrics whose values lie from 0 to 1."""
UNFILTERED = "none"


@dataclass(frozen=True)
class _Run:
    """What the file of results beside the samples says: the model, and by task and metric whether more is better."""

    model: str = ""
    higher_is_better: Mapping[str, Mapping[str, bool]] = field(default_factory=dict)


@form("lm_eval", columns("doc_id", "doc", "target", "arguments", "resps"))
def samples(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """lm-eval's samples (samples_TASK_TIME.jsonl of --log_samples, or their folder)."""
    task, run = _task(path), _run(path.parent)
    documents: dict[str, Result] = {}
    for where, row in rows:
        result = _result(where, row, task, run)
        name = result.id or ""
        if name in documents:
            # One row for every filter of the task's answers.
            result = _merged(documents[name], result)
        documents[name] = result
    yield from documents.values()


def _result(where: str, row: Fields, task: str, run: _Run) -> Result:
    suffix = "" if (chosen := str(row.values.get("filter", UNFILTERED))) == UNFILTERED else f",{chosen}"
    metrics = row.list("metrics") if "metrics" in row else None
    if metrics is None:
        raise Unusable(
            "no 'metrics'", "samples of lm-eval before 0.4.3 do not name them; run it again with a newer one"
        )
    scores, scales = {}, {}
    for metric in map(str, metrics):
        value = row.values.get(metric)
        if isinstance(value, list | dict) or metric not in row.values:
            continue  # a metric of the whole corpus, whose parts are no scores
        name = f"{task}/{metric}{suffix}"
        scores[name] = float(value) if isinstance(value, int | float) and math.isfinite(value) else None
        more = run.higher_is_better.get(task, {}).get(metric, metric in SHARES or None)
        if more is not None and metric in SHARES:
            scales[name] = Scale("maximize" if more else "minimize", 0.0, 1.0)
    prompt, response = _exchange(row)
    return Result(
        where,
        id=f"{task}/{row.identifier('doc_id')}",
        prompt=prompt,
        response=response,
        generator=run.model,
        scores=scores,
        scales=scales,
    )


def _merged(first: Result, other: Result) -> Result:
    if set(first.scores) & set(other.scores):
        raise Unusable(f"{first.id!r} is there twice", f"first at {first.where}")
    return replace(first, scores={**first.scores, **other.scores}, scales={**first.scales, **other.scales})


def _exchange(row: Fields) -> tuple[str | None, str | None]:
    """The prompt and the response of a task that generates; None for one that ranks given answers."""
    arguments: Any = row.values["arguments"]
    requests = list(arguments.values()) if isinstance(arguments, Mapping) else arguments
    if not isinstance(requests, list) or len(requests) != 1:
        return None, None
    request = list(requests[0].values()) if isinstance(requests[0], Mapping) else requests[0]
    if not isinstance(request, list) or len(request) != 2 or not isinstance(request[1], Mapping):
        return None, None
    replies = row.values["resps"]
    while isinstance(replies, list) and replies:
        replies = replies[0]
    return (str(request[0]), replies) if isinstance(replies, str) else (None, None)


def _task(path: Path) -> str:
    """The task in a file's name.

    Examples
    --------
    >>> _task(Path("out/samples_arc_easy_2024-05-01T10-11-12.123456.jsonl")), _task(Path("mine.jsonl"))
    ('arc_easy', 'mine')
    """
    stem = re.sub(r"\.jsonl(\.gz)?$", "", path.name)
    return re.sub(r"_\d{4}-\d\d-\d\dT[\d.:-]+$", "", stem.removeprefix("samples_"))


@lru_cache(maxsize=16)
def _run(folder: Path) -> _Run:
    files = sorted(folder.glob("results*.json"))
    if not files:
        return _Run()
    try:
        results = json.loads(files[-1].read_text(encoding="utf-8"))
        model = results.get("model_name") or results.get("config", {}).get("model_args") or ""
        return _Run(str(model) if isinstance(model, str) else "", results.get("higher_is_better") or {})
    except (ValueError, AttributeError) as fault:
        raise Unusable(f"{files[-1].name} beside it is no file of lm-eval's results", str(fault)) from None
