"""Solutions of several models side by side, as GSM8K publishes them: a question, and a column for each model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from harness.inputs.results.form import Located, form
from harness.inputs.results.outputs import optional_text
from harness.inputs.results.result import Result, Scale
from trainers.data.fields import Fields


def _models(row: Fields) -> list[str]:
    return [name for name, value in row.values.items() if isinstance(value, Mapping) and "solution" in value]


@form("solutions", lambda row: "question" in row.values and bool(_models(row)))
def solutions(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """Solutions by question (question, and for each model an object of solution and is_correct)."""
    for where, row in rows:
        for model in _models(row):
            own = Fields.of(row.values[model])
            yield Result(
                where,
                prompt=row.text("question"),
                response=own.text("solution", empty=True),
                reference=optional_text(row, "ground_truth"),
                generator=model,
                scores={"is_correct": float(own.flag("is_correct"))} if "is_correct" in own else {},
                scales={"is_correct": Scale("maximize", 0.0, 1.0)},
            )
