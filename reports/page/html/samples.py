"""Sampled responses side by side, with the reference response and the scores of each."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import pandas as pd

from reports.frontiers.selection import representative
from reports.grids import Point
from reports.results import Analysis
from reports.text import number

PROMPTS = 8
RESPONSES = 600
"""Upper limit of responses on the page; many configurations get fewer prompts."""
FAILURES_FIRST = 2
"""Prompts on which most responses failed, shown before the others."""


@dataclass(frozen=True)
class Response:
    """One response of the first seed of a configuration, with its scores as text."""

    point: Point
    text: str
    tokens: int
    status: str
    seed: int
    scores: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Sample:
    """A prompt with its reference response (empty where there is none) and the responses by model size."""

    prompt: str
    reference: str
    sizes: tuple[tuple[str, tuple[Response, ...]], ...]


def samples(analysis: Analysis, order: dict[str, int]) -> list[Sample]:
    """Prompts with the responses of one seed of every configuration.

    Parameters
    ----------
    analysis : Analysis
    order : dict
        Rank of each method among the responses of a prompt.
    """
    generations = analysis.study.records.generations
    first = {point.cells[0]: point for point in analysis.study.select()}
    generations = generations[generations.cell.isin(first) & (generations.trial == 0)]
    if generations.empty:
        return []
    rank = {cell: (i, order[point.method]) for i, (cell, point) in enumerate(first.items())}
    sizes = {size: i for i, size in enumerate(analysis.study.sizes)}
    scores = _scores(analysis, set(first))
    shown = []
    for item in _items(generations):
        rows = generations[generations["item"] == item].to_dict("records")
        rows.sort(key=lambda row: (sizes[first[row["cell"]].size], rank[row["cell"]][1], rank[row["cell"]][0]))
        responses = [
            Response(
                point=first[row["cell"]],
                text=row["response"],
                tokens=row["n_tokens"],
                status=row["status"],
                seed=first[row["cell"]].seeds[0],
                scores=tuple(
                    (objective.name.replace("_", " "), number(scores.get((row["cell"], item, objective.name))))
                    for objective in analysis.objectives
                    if (row["cell"], item, objective.name) in scores
                ),
            )
            for row in rows
        ]
        grouped = tuple((size, tuple(group)) for size, group in groupby(responses, key=lambda r: r.point.size))
        reference = rows[0].get("reference")  # absent from records of an earlier version
        shown.append(Sample(rows[0]["prompt"], reference if isinstance(reference, str) else "", grouped))
    return shown


def _items(generations: pd.DataFrame) -> list[str]:
    """Items to show: those with the most failures first, then all in their order."""
    failures = generations.assign(failed=generations.status != "ok").groupby("item", sort=True).failed.sum()
    order = [*failures[failures > 0].sort_values(ascending=False, kind="stable").index[:FAILURES_FIRST]]
    order += [item for item in failures.index if item not in order]
    per_prompt = max(1, generations.cell.nunique())
    return order[: max(1, min(PROMPTS, RESPONSES // per_prompt))]


def _scores(analysis: Analysis, cells: set[str]) -> dict[tuple[str, str, str], float]:
    """Scores of the first trial by cell, item and objective."""
    items = analysis.study.records.items
    names = [objective.name for objective in analysis.objectives]
    items = items[items.cell.isin(cells) & items.objective.isin(names) & (items.trial == 0)]
    return dict(zip(zip(items.cell, items["item"], items.objective, strict=True), items.value, strict=True))


def representatives(analysis: Analysis) -> set[str]:
    """One point per method and size, whose responses are shown at first."""
    grids, objectives = analysis.study.grids, analysis.objectives
    groups = [analysis.study.select(size, method) for size in analysis.study.sizes for method in analysis.study.methods]
    groups = [[p for p in group if all(grids[o.name].rows(p.cells) for o in objectives)] for group in groups]
    return {representative(group, grids, objectives).id for group in groups if group}
