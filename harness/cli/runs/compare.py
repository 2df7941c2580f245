"""The verb ``compare``: finished runs beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Shown

from harness.cli.answer import Answer
from harness.errors import Exit, UsageError
from harness.run.earlier import RUNS
from harness.terminal import plain, say
from reports.compare.comparison import Beside, Paired, compare_runs
from reports.compare.page import measured, write
from reports.compare.summary import summary, turned, volume_lines
from reports.compare.tables import DIFFERENCES, PAIRED, tables
from reports.page.tables.table import Table, show
from reports.run_folder import Refused

PRINTED = (DIFFERENCES, PAIRED)
LONGEST = 40
"""Rows of a table; the page has all of them."""
ON_THE_PAGE = ("p, adjusted", "About", "Note")
"""Columns that the terminal has no room for."""


def put_beside(runs: Sequence[Path], out: Path | None) -> Answer:
    """Compare, write the page, print what differs and the paired differences."""
    try:
        beside = compare_runs(runs)
    except Refused as error:
        raise UsageError(str(error)) from None
    folder = out or RUNS / "-vs-".join(name.replace("/", "-") for name in beside.runs)
    try:
        page = write(beside, folder)
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written ({error.strerror or error})") from None
    console, lines = Console(soft_wrap=True), [*summary(beside), *volume_lines(beside)]
    say(console, measured(beside))
    for table in _shown(beside):
        console.print()
        console.print(_printed(table))
    console.print()
    for line in lines:
        say(console, line)
    say(console, f"page: {page}")
    return Answer(Exit.OK if beside.merged.shared else Exit.NOTHING, _facts(beside, lines, page))


def _shown(beside: Beside) -> list[Table]:
    """What differs, and the surest of the paired differences that are not 0 because both runs have the same scores."""
    unequal = tuple(each for each in beside.paired if not each.equal)
    made = {table.name: table for table in tables(replace(beside, paired=unequal))}
    shown = [made[name] for name in PRINTED if name in made]
    return [replace(table, rows=table.rows[:LONGEST]) for table in shown]


def _printed(table: Table) -> Shown:
    """A table of the page for the terminal, without the columns that hold nothing or one value alone."""
    texts = [[show(value) for value in row.values] for row in table.rows]
    shown = [
        i
        for i, column in enumerate(table.columns)
        if column.title not in ON_THE_PAGE and (column.title != "Size" or len({row[i] for row in texts}) > 1)
    ]
    printed = Shown(box=None, pad_edge=False)
    for i in shown:
        column = table.columns[i]
        printed.add_column(plain(column.title), justify="right" if column.numeric else "left", overflow="fold")
    for row in texts:
        printed.add_row(*(plain(row[i]) for i in shown))
    return printed


def _facts(beside: Beside, lines: Sequence[str], page: Path) -> dict[str, Any]:
    return {
        "runs": [{"name": name, "folder": run.folder} for name, run in beside.runs.items()],
        "sides": [{"name": side.name, "runs": [run.folder for run in side.runs]} for side in beside.sides],
        "differences": [
            {"kind": row.kind, "key": row.key, "values": dict(zip(beside.runs, row.values, strict=True))}
            for row in beside.unlike
        ],
        "objectives": beside.merged.shared,
        "paired": [_pair(each) for each in beside.paired],
        "hypervolumes": [
            {
                "size": pair.size, "first": pair.first, "second": pair.second, "first_less_second": pair.difference,
                "p": pair.p, "verdict": turned(pair), "settings": pair.settings,
            }
            for pair in beside.hypervolumes
        ],
        "findings": lines,
        "page": page,
    }  # fmt: skip


def _pair(each: Paired) -> dict[str, Any]:
    """A paired difference; its objective by name."""
    return {**vars(each), "objective": each.objective.name}
