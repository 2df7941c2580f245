"""Logs of inspect_ai in their JSON form: every sample with its response and scores."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from harness.inputs.results.form import Located, columns, form
from harness.inputs.results.result import Result, Scale
from harness.records import Status
from trainers.data.fields import Fields, Unusable, describe

VERSIONS = (1, 2)
GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Values of inspect's grades: correct, partially correct, incorrect, no answer."""


@form("inspect", columns("version", "status", "eval"))
def log(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """A log of inspect_ai in JSON (version, status, eval, samples)."""
    for where, row in rows:
        if row.values["version"] not in VERSIONS:
            raise Unusable(
                f"a log of inspect_ai of version {row.values['version']}",
                f"versions {VERSIONS[0]} to {VERSIONS[-1]} are read; `inspect log convert` writes them",
            )
        about = Fields.of(row.values["eval"])
        if "samples" not in row:
            raise Unusable("a log of inspect_ai without samples")
        for number, sample in enumerate(row.list("samples"), start=1):
            yield _result(f"{where} sample {number}", Fields.of(sample), about)


def _result(where: str, sample: Fields, about: Fields) -> Result:
    task = about.text("task")
    failed = sample.values.get("error") is not None
    scores: dict[str, float | None] = {}
    scales: dict[str, Scale] = {}
    for scorer, score in _mapping(sample, "scores").items():
        value = Fields.of(score).values.get("value")
        for name, part in value.items() if isinstance(value, Mapping) else (("", value),):
            column = "/".join(filter(None, (task, scorer, str(name))))
            scores[column] = _number(part)
            if (isinstance(part, str) and part in GRADES) or isinstance(part, bool):
                scales[column] = Scale("maximize", 0.0, 1.0)
    return Result(
        where,
        prompt=_text(sample.values.get("input")),
        response=None if failed else _response(sample),
        generator=about.text("model"),
        trial=sample.whole("epoch") - 1 if "epoch" in sample else None,
        status=Status.ERROR if failed else Status.OK,
        scores=scores,
        scales=scales,
    )


def _number(value: Any) -> float | None:
    if isinstance(value, str):
        return GRADES.get(value)
    if isinstance(value, int | float):
        return float(value) if math.isfinite(value) else None
    return None


def _mapping(row: Fields, name: str) -> Mapping[str, Any]:
    value = row.values.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Unusable(f"{name!r} is not an object", describe(value))
    return value


def _text(value: Any) -> str:
    """The input of a sample: text, or the contents of its messages."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value:
        return "\n\n".join(_content(Fields.of(message).values.get("content")) for message in value)
    raise Unusable("'input' is neither text nor messages", describe(value))


def _response(sample: Fields) -> str | None:
    output = _mapping(sample, "output")
    choices = output.get("choices")
    if isinstance(output.get("completion"), str):
        return str(output["completion"])
    if isinstance(choices, list) and choices:
        return _content(_mapping(Fields.of(choices[0]), "message").get("content"))
    return None


def _content(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "".join(
        str(part.get("text", "")) for part in parts if isinstance(part, Mapping) and part.get("type") == "text"
    )
