"""Tables of item scores: one row an item, one column an objective, or one row a score."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.inputs.results.form import Located, first_of, form
from harness.inputs.results.outputs import PROMPTS, has_prompt_and_response, named, numbers, prompt_of
from harness.inputs.results.result import Result
from trainers.data.fields import Fields, Unusable

ITEMS = ("item", "id", "prompt_id", "question_id", "row", "cluster")


def _is_table(row: Fields) -> bool:
    item = first_of(row, (*ITEMS, *PROMPTS)) is not None
    return item and not has_prompt_and_response(row) and bool(_scores(row))


@form("scores", _is_table, general=True)
def scores(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """Item scores (an item, id or prompt, and a column for each objective or objective and value)."""
    for where, row in rows:
        result = replace(named(where, row), scores=_scores(row))
        name = first_of(row, ITEMS)
        if first_of(row, PROMPTS) is not None:
            yield replace(result, prompt=prompt_of(row))
        elif name is None or name not in row:
            raise Unusable("a row without an item")
        else:
            yield replace(result, id=row.identifier(name))


def _scores(row: Fields) -> dict[str, float | None]:
    """The numbers of a row: by column, or the value of the objective that the row names."""
    if "objective" in row.values and "value" in row.values:
        return {row.text("objective"): row.number("value") if "value" in row else None}
    return {name: value for name, value in numbers(row).items() if name not in ITEMS}
