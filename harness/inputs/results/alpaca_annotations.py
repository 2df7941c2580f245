"""AlpacaEval's ``annotations.json``: a judge's preferences between a baseline and a model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from harness.inputs.results.form import Located, columns, form
from harness.inputs.results.result import Result, Scale
from trainers.data.fields import Fields, Unusable, describe

DRAW = 0.0
"""Preference of a draw in older files; newer ones write 1.5."""


@form("alpaca_annotations", columns("instruction", "output_1", "output_2", "preference"))
def preferences(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """AlpacaEval's annotations (instruction, output_1, output_2, preference)."""
    for where, row in rows:
        win = _win(row)
        yield Result(
            where,
            prompt=row.text("instruction"),
            response=row.text("output_2", empty=True),
            reference=row.text("output_1", empty=True),
            generator=row.text("generator_2") if "generator_2" in row else "",
            scores={"win_rate": win},
            detail={"judge": f"alpaca-eval:{row.text('annotator')}"} if "annotator" in row else {},
            scales={"win_rate": Scale("maximize", 0.0, 1.0)},
        )


def _win(row: Fields) -> float | None:
    """The share of a win of the second response: the preference is 1 for the first, 2 for the second one."""
    if "preference" not in row:
        return None
    preference = row.number("preference")
    if preference == DRAW:
        return 0.5
    if not 1.0 <= preference <= 2.0:
        raise Unusable("'preference' is not from 1 to 2", describe(row.values["preference"]))
    return preference - 1.0
