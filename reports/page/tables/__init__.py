"""The report's tables, once, for HTML, Markdown, LaTeX and CSV."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from reports.page.tables.chosen_response import against_chosen
from reports.page.tables.judges import arena, corrected, judges, length_control, reranked
from reports.page.tables.methods import (
    budgets,
    chosen,
    equal_budget,
    gap_ranking,
    indicators,
    panel_hypervolumes,
    scoreboard,
    versus,
)
from reports.page.tables.points import TITLES, comparisons, measures, missing, missing_items, points
from reports.page.tables.table import Table
from reports.page.tables.tuning import grid_edges, power
from reports.page.tables.users import MATRIX, users
from reports.results import Analysis


@dataclass(frozen=True)
class Tables:
    """All tables of a report in reading order; optional ones are absent where they would be empty."""

    scoreboard: Table
    gaps: Table | None
    held_out: Table | None
    planes: Table | None
    versus: Table
    comparisons: Table
    points: Table
    judges: Table | None
    reranked: Table | None
    length_control: Table | None
    measures: tuple[Table, ...]
    missing: Table | None
    missing_items: Table | None
    budgets: Table
    equal_budget: Table | None
    indicators: Table | None = None
    power: Table | None = None
    edges: Table | None = None
    arena: Table | None = None
    corrected: Table | None = None
    published: Table | None = None
    against_chosen: Table | None = None
    users: Table | None = None

    def __iter__(self) -> Iterator[Table]:
        for value in vars(self).values():
            yield from value if isinstance(value, tuple) else [value] if value and value.rows else []


def tables(analysis: Analysis) -> Tables:
    """Every table of the report."""
    groups = [group for group in dict.fromkeys([*TITLES, *analysis.study.records.measures.group]) if group != MATRIX]
    return Tables(
        scoreboard(analysis),
        gap_ranking(analysis),
        chosen(analysis),
        panel_hypervolumes(analysis),
        versus(analysis),
        comparisons(analysis),
        points(analysis),
        judges(analysis),
        reranked(analysis),
        length_control(analysis),
        tuple(filter(None, (measures(analysis, group) for group in groups))),
        missing(analysis),
        missing_items(analysis),
        budgets(analysis),
        equal_budget(analysis),
        indicators(analysis),
        power(analysis),
        grid_edges(analysis),
        arena(analysis),
        corrected(analysis),
        against_chosen=against_chosen(analysis),
        users=users(analysis),
    )
