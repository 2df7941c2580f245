"""Figures and tables for a paper, from stored records alone.

Everything is a function of the records: no training, no GPU, no LaTeX, and the same bytes every time.
"""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import RcKeyType

from harness.records import Records
from reports.analysis import analyse
from reports.page import csv_files, latex, pgf
from reports.page.charts import interval_limits, shared_limits, shows_truth
from reports.page.figures import MARKERS, SETTINGS, SIZES, draw_panel, handles, save
from reports.page.palette import Style, styles
from reports.page.tables import tables
from reports.publication import settle
from reports.results import Analysis, Panel
from reports.statistics.estimates import Estimate
from reports.text import file_name, number, with_interval

IntervalRow = tuple[str, str, Estimate]
"""Method, label and estimate."""
CM = 1 / 2.54
WIDE = 4.5
"""From this width on (inches) panels stand side by side."""


@dataclass(frozen=True)
class Venue:
    """Column widths in inches as the venue's style file sets them; `double` spans the page."""

    single: float
    double: float
    serif: bool = True


VENUES = {
    "neurips": Venue(5.5, 5.5),
    "icml": Venue(3.25, 6.75),
    "acl": Venue(7.7 * CM, 16.0 * CM),
    "tmlr": Venue(6.5, 6.5),
}
"""NeurIPS and TMLR have one column, so both widths are the text's."""

PAPER: dict[RcKeyType, Any] = SETTINGS | {
    "font.family": "serif",
    "font.serif": ["STIXGeneral"],  # comes with matplotlib and has the proportions of Times
    "font.size": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
}


def figures_for_paper(
    run_dir: Path, out: Path, style: str = "neurips", column: str = "single", resamples: int = 2000, seed: int = 0
) -> list[Path]:
    """Frontiers, attainment surfaces and hypervolumes as PDF and PGF, with CSV, and booktabs tables.

    Parameters
    ----------
    run_dir : Path
        Folder with `records/`.
    style : {"neurips", "icml", "acl", "tmlr"}
    column : {"single", "double"}
        Width of one column or of the page. Text is 7 and 8 pt at that width: include without scaling.

    Returns
    -------
    list of Path
        The files written, in order.

    Raises
    ------
    ValueError
        For an unknown style or column.
    """
    width = _width(style, column)
    settle(Path(run_dir))
    analysis = analyse(Records.read(Path(run_dir) / "records"), resamples, seed)
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for size in analysis.study.sizes:
        panels = [panel for panel in analysis.panels if panel.size == size]
        for name, bands in (("frontier", False), ("attainment", True)):
            if panels:
                stem = out / file_name(name, size)
                written += _save(_frontiers(analysis, panels, width, bands), stem)
                written.append(
                    _csv(pd.concat([csv_files.panel_frame(panel).assign(panel=panel.file) for panel in panels]), stem)
                )
    if analysis.reference_stated and analysis.methods:
        written += _save(_hypervolumes(analysis, width), out / "hypervolume")
        written.append(_csv(csv_files.frames(analysis)["methods"], out / "hypervolume"))
    if analysis.gaps:
        written += _save(_gaps(analysis, width), out / "gap")
        written.append(_csv(csv_files.frames(analysis)["gaps"], out / "gap"))
    return written + latex.write(tables(analysis), out / "tables")


def _width(style: str, column: str) -> float:
    if style not in VENUES:
        near = difflib.get_close_matches(style, VENUES, n=1)
        raise ValueError(
            f"unknown style {style!r}; " + (f"did you mean {near[0]!r}?" if near else f"known are {', '.join(VENUES)}")
        )
    if column not in ("single", "double"):
        raise ValueError(f"column must be 'single' or 'double', not {column!r}")
    return VENUES[style].single if column == "single" else VENUES[style].double


def _save(figure: Figure, stem: Path) -> list[Path]:
    with matplotlib.rc_context(PAPER):
        return [*save(figure, stem, formats=("pdf",)), pgf.save(figure, stem.with_name(f"{stem.name}.pgf"))]


def _csv(frame: pd.DataFrame, stem: Path) -> Path:
    path = stem.with_name(f"{stem.name}.csv")
    csv_files.write_csv(frame, path)
    return path


def _frontiers(analysis: Analysis, panels: list[Panel], width: float, bands: bool) -> Figure:
    """One size's panels, side by side on a wide figure, stacked on a narrow one, one legend below."""
    columns = len(panels) if width >= WIDE and len(panels) <= 3 else min(2, len(panels)) if width >= WIDE else 1
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(PAPER):
        per_line = max(2, int(width / 1.05))
        entries = handles(analysis, any(shows_truth(panel, shared_limits(analysis)) for panel in panels), bands)
        height = rows * (width / columns * 0.78) + 0.16 * -(-len(entries) // per_line)
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False)
        for panel, each in zip(panels, axes.flat, strict=False):
            draw_panel(each, panel, analysis, legend=False, bands=bands)
        for unused in axes.flat[len(panels) :]:
            unused.remove()
        figure.legend(handles=entries, loc="outside lower center", ncols=per_line)
    return figure


def _hypervolumes(analysis: Analysis, width: float) -> Figure:
    """Hypervolume of each method with its interval, one panel a size."""
    names = tuple(objective.name for objective in analysis.objectives)
    rows = {
        size: sorted(
            ((r.method, r.label, r.hypervolume[names]) for r in analysis.of(size)), key=lambda row: row[2].value
        )
        for size in analysis.study.sizes
    }
    return _intervals(analysis, rows, width, "Hypervolume, {} (higher is better →)")


def _gaps(analysis: Analysis, width: float) -> Figure:
    """Gap of each method's best setting at equal budget with its interval over seeds, the smallest on top."""
    rows: dict[str, list[IntervalRow]] = {}
    for rank in reversed(analysis.gaps):
        rows.setdefault(rank.size, []).append((rank.method, rank.label, rank.gap))
    return _intervals(analysis, dict(reversed(rows.items())), width, "Gap to the true frontier, {} (← lower is better)")


def _intervals(analysis: Analysis, rows: dict[str, list[IntervalRow]], width: float, label: str) -> Figure:
    """A line per method from bottom to top, one panel a size, all on one axis that starts at 0 at the lowest.

    An interval that runs off the axis ends in an arrow; its end is written beside it.
    """
    looks = styles(analysis.study.methods)
    columns = len(rows) if width >= WIDE else 1
    lines = -(-len(rows) // columns)
    bounds = interval_limits([estimate for results in rows.values() for _, _, estimate in results], (0.0, math.inf))
    with matplotlib.rc_context(PAPER):
        height = lines * (0.17 * max(map(len, rows.values())) + 0.5)
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(lines, columns, squeeze=False, sharex=True)
        for (size, results), each in zip(rows.items(), axes.flat, strict=False):
            each.set_xlim(bounds)
            for row, (name, _, estimate) in enumerate(results):
                _interval(each, row, estimate, looks[name], bounds)
            each.set_yticks(range(len(results)), [label for _, label, _ in results])
            each.set_ylim(-0.6, len(results) - 0.4)
            each.set_xlabel(label.format(size))
    return figure


def _interval(axes: Axes, row: int, estimate: Estimate, look: Style, bounds: tuple[float, float]) -> None:
    """One interval with its value; arrows where it leaves the axis."""
    ends = [estimate.value] if estimate.low is None or estimate.high is None else [estimate.low, estimate.high]
    low, high = max(min(ends), bounds[0]), min(max(ends), bounds[1])
    axes.hlines(row, low, high, color=look.light, lw=1.2)
    if bounds[0] <= estimate.value <= bounds[1]:
        axes.plot(
            estimate.value,
            row,
            marker=MARKERS[look.marker],
            color=look.light,
            ms=SIZES.get(look.marker, 4.5),
            clip_on=False,
        )
    if max(ends) > bounds[1]:
        axes.plot(bounds[1], row, marker=">", color=look.light, ms=4, clip_on=False)
        note = f"to {number(max(ends))}" if bounds[0] <= estimate.value <= bounds[1] else with_interval(estimate)
        axes.annotate(note, (bounds[1], row), (-5, 2), textcoords="offset points", ha="right", va="bottom", fontsize=6)
