"""CSV files of the numbers behind every figure and table."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from reports.page.tables.table import Shown, Table, Value
from reports.results import Analysis, Panel
from reports.statistics.estimates import Estimate

_COMPUTED = re.compile("'*[=+@\t\r\n\uff1d\uff0b\uff0d\uff20-]")
"""Beginning of a text that a spreadsheet computes, or of one that `csv_text` wrote for such a text."""


def write(analysis: Analysis, folder: Path) -> None:
    """Write all CSV files; floats in full, so that a figure can be drawn again from them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, frame in frames(analysis).items():
        write_csv(frame, folder / f"{name}.csv")


def write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write a table whose texts no spreadsheet takes for a formula: an apostrophe goes before those that look like one."""
    path.write_text(csv_text(frame), encoding="utf-8")


def csv_text(frame: pd.DataFrame, float_format: str | None = None) -> str:
    """The content of `write_csv`'s file."""
    texts = {name: column.map(_text) for name, column in frame.items() if not pd.api.types.is_numeric_dtype(column)}
    text: str = (
        frame.assign(**texts).rename(columns=_text).to_csv(index=False, lineterminator="\n", float_format=float_format)
    )
    return text


def _text(value: Any) -> Any:
    """A text as a spreadsheet shows it; other values are left as they are.

    Examples
    --------
    >>> _text("=1+1"), _text("-0.5"), _text("@x"), _text("dpo"), _text(-0.5)
    ("'=1+1", '-0.5', "'@x", 'dpo', -0.5)
    """
    if not isinstance(value, str) or not _COMPUTED.match(value):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def from_text(value: Any) -> Any:
    """The text of a table of one's own before `csv_text` wrote it.

    Examples
    --------
    >>> from_text("'=1+1"), from_text(_text("'@x")), from_text("'quoted'")
    ('=1+1', "'@x", "'quoted'")
    """
    return value[1:] if isinstance(value, str) and value.startswith("'") and _COMPUTED.match(value) else value


def write_tables(tables: Iterable[Table], folder: Path) -> None:
    """Write every table of the report as `NAME.csv`."""
    folder.mkdir(parents=True, exist_ok=True)
    for table in tables:
        write_csv(table_frame(table), folder / f"{table.name}.csv")


def table_frame(table: Table) -> pd.DataFrame:
    """A table with numbers in full; an estimate fills three columns, value, low and high.

    Examples
    --------
    >>> from reports.page.tables.table import Column, Row, share
    >>> estimate = Estimate(0.5, 0.1, 0.3, 0.7, 0.95, 10, 0, "t")
    >>> rows = (Row(("UPO", estimate, share(0.25))),)
    >>> made = table_frame(Table("t", "T", (Column("Method", False), Column("Gap"), Column("P")), rows))
    >>> print(made.to_csv(index=False), end="")
    Method,Gap,"Gap, low","Gap, high",P
    UPO,0.5,0.3,0.7,0.25
    """
    columns: list[tuple[str, list[object]]] = []
    for i, column in enumerate(table.columns):
        values = [row.values[i] for row in table.rows]
        columns.append((column.title, [_plain(value) for value in values]))
        if any(isinstance(value, Estimate) for value in values):
            for end in ("low", "high"):
                ends = [getattr(value, end) if isinstance(value, Estimate) else None for value in values]
                columns.append((f"{column.title}, {end}", ends))
    frame = pd.DataFrame([list(row) for row in zip(*(values for _, values in columns), strict=True)])
    return frame.set_axis([title for title, _ in columns], axis=1)


def _plain(value: Value) -> str | float | None:
    return value.value if isinstance(value, Estimate | Shown) else value


def frames(analysis: Analysis) -> dict[str, pd.DataFrame]:
    """One long table per kind of result."""
    records = analysis.study.records
    return {
        "points": _points(analysis),
        "methods": _methods(analysis),
        "indicators": _indicators(analysis),
        "hypervolume_pairs": _hypervolume_pairs(analysis),
        "comparisons": _comparisons(analysis),
        "gaps": _gaps(analysis),
        "held_out": _held_out(analysis),
        "judges": _judges(analysis),
        "measures": records.measures,
        "truth": records.truth,
        "cells": records.cells,
    } | {panel.file: panel_frame(panel) for panel in analysis.panels}


def _methods(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "size": r.size,
                "method": r.method,
                "objectives": "+".join(names),
                "probability_largest": r.probability_largest,
            }
            | _estimate(e)
            for r in analysis.methods
            for names, e in r.hypervolume.items()
        ]
    )


def _indicators(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"size": r.size, "method": r.method, "indicator": name} | _estimate(estimate)
            for r in analysis.methods
            for name in ("at_budget", "mean_inner_product", "sparsity", "spacing")
            if (estimate := getattr(r, name)) is not None
        ]
    )


def _hypervolume_pairs(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "size": c.size,
                "first": c.first,
                "second": c.second,
                "verdict": c.verdict,
                "p": c.p,
                "probability": c.probability,
                "settings": c.settings,
                "note": c.note,
            }
            | _estimate(c.difference)
            for c in analysis.hypervolumes
        ]
    )


def _comparisons(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "first": c.first,
                "second": c.second,
                "objective": c.objective,
                "verdict": c.verdict,
                "p": c.p,
                "scope": c.scope,
                "note": c.note,
                "dominates": c.dominates,
            }
            | (_estimate(c.difference) if c.difference else {})
            for c in analysis.comparisons
        ]
    )


def _gaps(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "size": g.size,
                "rank": g.rank,
                "method": g.method,
                "settings": g.settings,
                "budget": g.budget,
                "tied": g.tied,
            }
            | {"rank_low": g.ranks and g.ranks[0], "rank_high": g.ranks and g.ranks[1]}
            | _estimate(g.gap)
            for g in analysis.gaps
        ]
    )


def _held_out(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"size": h.size, "method": h.method, "chosen": " ".join(h.chosen), "of": h.of, "still": h.still}
            | {"validation": h.validation, "optimism": h.optimism}
            | _estimate(h.test)
            for h in analysis.held_out
        ]
    )


def _judges(analysis: Analysis) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "size": a.size,
                "first": a.first.name,
                "second": a.second.name,
                "point": p,
                "rank_first": one,
                "rank_second": two,
            }
            | {"items": a.items, "agree": a.agree, "kappa": a.kappa, "tau": a.tau}
            for a in analysis.judges
            for p, (one, two) in a.ranks.items()
        ]
    )


def _estimate(estimate: Estimate) -> dict[str, Any]:
    """An estimate's columns; how its interval was made must not pass for a preference-optimization method."""
    columns = asdict(estimate)
    columns["estimate_method"] = columns.pop("method")
    return columns


def _points(analysis: Analysis) -> pd.DataFrame:
    rows = []
    for result in analysis.points.values():
        for name in result.checkpoints:
            for scope, estimate in (("checkpoints", result.checkpoints[name]), ("method", result.method[name])):
                if estimate is not None:
                    about = {
                        "point": result.point.id,
                        "method": result.point.method,
                        "label": result.point.label,
                        "size": result.point.size,
                    }
                    rows.append(
                        about
                        | {"seeds": len(result.point.seeds), "objective": name, "scope": scope}
                        | _estimate(estimate)
                        | {"on_frontier": result.on_frontier, "membership": result.membership}
                    )
    return pd.DataFrame(rows)


def panel_frame(panel: Panel) -> pd.DataFrame:
    """The lines of one frontier figure: steps, attainment surfaces, truth."""
    lines = [("frontier", "", panel.frontier)]
    lines += [("steps", method, corners) for method, corners in panel.steps.items()]
    lines += [
        (f"attainment {level}", method, c) for method, each in panel.attainment.items() for level, c in each.items()
    ]
    lines += [("truth", str(budget), corners) for budget, corners in panel.truth.items()]
    return pd.concat(
        [
            pd.DataFrame({"line": line, "of": of, panel.x.name: np.asarray(c)[:, 0], panel.y.name: np.asarray(c)[:, 1]})
            for line, of, c in lines
        ],
        ignore_index=True,
    )
