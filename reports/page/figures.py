"""Frontier figures with matplotlib, without global state and byte-identical on every run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.typing import RcKeyType

from harness.records import Objective
from reports.frontiers.frontier import staircase
from reports.page.charts import BEYOND, Bounds, muted, shared_limits, shows_truth
from reports.page.inline_labels import places
from reports.page.palette import Style, styles
from reports.results import Analysis, Panel, PointResult

SETTINGS: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.linewidth": 0.6,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#e3e7eb",
    "axes.axisbelow": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "text.parse_math": False,  # a name with $ is a name
    "svg.hashsalt": "prefrontier",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
}
NO_DATES = {
    "pdf": {"CreationDate": None, "ModDate": None, "Producer": None, "Creator": None},
    "svg": {"Date": None},
    "png": {"Software": None},
}
MARKERS = {
    "star": "*",
    "circle": "o",
    "square": "s",
    "triangle": "^",
    "diamond": "D",
    "down": "v",
    "plus": "P",
    "cross": "X",
}
TRUTH_LABEL = (0.46, 0.12)
"""Room for the name of a true frontier, inches."""
PLOT_SHARE = (0.85, 0.7)
"""What labels and legend leave to the plots, about."""
FAINT = "#B9C0C8"
SIZES = {"star": 7.0}
"""Sizes of markers that look small at the usual 4.5 points."""
DASHES = {"": "-", "5 3": (0, (5, 2)), "1.5 2.5": (0, (1.2, 1.8)), "7 2.5 1.5 2.5": (0, (6, 2, 1.2, 2))}


def write(analysis: Analysis, folder: Path) -> list[Path]:
    """Each panel as PDF, SVG and PNG."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for panel in analysis.panels:
        with matplotlib.rc_context(SETTINGS):
            figure = Figure(figsize=(4.6, 3.6), layout="constrained")
            draw_panel(figure.subplots(), panel, analysis)
            written += save(figure, folder / panel.file)
    return written


def save(figure: Figure, stem: Path, formats: Sequence[str] = ("pdf", "svg", "png")) -> list[Path]:
    """Save under `stem` plus each ending, with no date inside."""
    FigureCanvasAgg(figure)
    paths = []
    for ending in formats:
        path = stem.with_name(f"{stem.name}.{ending}")
        figure.savefig(path, metadata=NO_DATES.get(ending), dpi=200)
        paths.append(path)
    return paths


def draw_panel(axes: Axes, panel: Panel, analysis: Analysis, legend: bool = True, bands: bool = False) -> None:
    """Points with interval crosses, steps, attainment, the measured and the true frontier."""
    names = {panel.x.name, panel.y.name}
    results = [
        r
        for r in analysis.points.values()
        if r.point.size == panel.size and r.on_frontier is not None and names <= set(r.checkpoints)
    ]
    looks = styles(analysis.study.methods)
    looks |= {name: replace(looks[name], light=FAINT) for name in muted(panel, results)}
    bounds = shared_limits(analysis)
    _frame(axes, panel, bounds)
    for line in panel.truth.values():
        axes.plot(line[:, 0], line[:, 1], color="#666666", lw=0.8, ls=(0, (6, 2, 1, 2)), zorder=1)
    _name_truth(axes, panel, bounds, results)
    _stairs(axes, panel.frontier, color="#000000", alpha=0.13, lw=3.5, zorder=1.5)
    for method, surfaces in panel.attainment.items() if bands else ():
        _band(axes, surfaces, panel, looks[method])
    for method, corners in panel.steps.items() if not bands else ():
        if len(corners) > 1:
            look = looks[method]
            axes.plot(corners[:, 0], corners[:, 1], color=look.light, lw=1.0, ls=DASHES[look.dash], zorder=2)
    for method in reversed([name for name in looks if name in panel.steps]):  # UPO, the first, on top
        _points(axes, [result for result in results if result.point.method == method], panel, looks[method])
    _reference(axes, panel, bounds)
    shown = shows_truth(panel, bounds)
    if panel.truth and not shown:
        axes.text(0.985, 0.97, BEYOND, transform=axes.transAxes, fontsize=6, color="#555555", ha="right", va="top")
    if legend:
        axes.figure.legend(handles=handles(analysis, shown), loc="outside lower center", ncols=4)


def handles(analysis: Analysis, truth: bool, bands: bool = False) -> list[Line2D]:
    """Legend entries: a line per method, and what the other lines are."""
    looks = styles(analysis.study.methods)
    shown = {r.point.method for r in analysis.points.values() if r.on_frontier} if analysis.many else set(looks)
    entries = [
        Line2D(
            [],
            [],
            color=look.light,
            marker=MARKERS[look.marker],
            ms=SIZES.get(look.marker, 4.5) - 0.5,
            lw=1,
            ls=DASHES[look.dash],
            label=analysis.label(name),
        )
        for name, look in looks.items()
        if name in shown
    ]
    if len(shown) < len(looks):
        label = f"{len(looks) - len(shown)} methods off the frontier"
        entries.append(Line2D([], [], color=FAINT, marker="o", mfc="white", ms=4, lw=1, label=label))
    entries.append(Line2D([], [], color="#555555", marker="+", ms=8, mew=0.7, ls="", label="95 % interval"))
    entries.append(Line2D([], [], color="#000000", alpha=0.15, lw=3.5, label="measured frontier"))
    if bands:
        entries.append(Line2D([], [], color="#555555", alpha=0.3, lw=6, label="reached by 25 to 75 % of draws"))
    if truth:
        entries.append(Line2D([], [], color="#666666", lw=0.8, ls=(0, (6, 2, 1, 2)), label="true frontier"))
    return entries


def _frame(axes: Axes, panel: Panel, bounds: Bounds) -> None:
    axes.set_xlim(bounds[panel.x.name])
    axes.set_ylim(bounds[panel.y.name])
    if panel.x.direction == "minimize":
        axes.invert_xaxis()
    if panel.y.direction == "minimize":
        axes.invert_yaxis()
    axes.set_xlabel(_label(panel.x))
    axes.set_ylabel(_label(panel.y))


def _label(objective: Objective) -> str:
    """The better end is always right or up, so a minimised objective runs backwards."""
    return f"{objective.label}\n({'lower' if objective.direction == 'minimize' else 'higher'} is better →)"


def _stairs(axes: Axes, corners: np.ndarray, **style: Any) -> None:
    """A staircase carried on to the worse ends of both axes."""
    axes.plot(*_carried(axes, corners), **style)


def _carried(axes: Axes, corners: np.ndarray) -> tuple[list[float], list[float]]:
    (left, _), (bottom, _) = axes.get_xlim(), axes.get_ylim()
    return [left, *corners[:, 0], corners[-1, 0]], [corners[0, 1], *corners[:, 1], bottom]


def _band(axes: Axes, surfaces: dict[int, np.ndarray], panel: Panel, look: Style) -> None:
    """Between the surfaces that 25 % and 75 % of the draws attain, and the one that half of them do."""
    pair = (panel.x, panel.y)
    stairs = {level: _carried(axes, staircase(corners, pair)) for level, corners in surfaces.items() if len(corners)}
    if {25, 50, 75} <= set(stairs):
        (far_x, far_y), (near_x, near_y) = stairs[25], stairs[75]
        axes.fill([*far_x, *near_x[::-1]], [*far_y, *near_y[::-1]], color=look.light, alpha=0.15, lw=0, zorder=1.2)
        axes.plot(*stairs[50], color=look.light, lw=0.8, ls=DASHES[look.dash], zorder=2)


def _points(axes: Axes, results: list[PointResult], panel: Panel, look: Style) -> None:
    """One method's points, filled where they are on the frontier, with their intervals."""
    pairs = [(result.shown(panel.x.name), result.shown(panel.y.name)) for result in results]
    crosses: dict[str, Any] = {"color": look.light, "lw": 0.7, "alpha": 0.6, "zorder": 3}
    across = [(y.value, x.low, x.high) for x, y in pairs if x.low is not None]
    up = [(x.value, y.low, y.high) for x, y in pairs if y.low is not None]
    if across:
        axes.hlines(*zip(*across, strict=True), **crosses)
    if up:
        axes.vlines(*zip(*up, strict=True), **crosses)
    for on, face in ((False, "white"), (True, look.light)):
        places = [(x.value, y.value) for (x, y), result in zip(pairs, results, strict=True) if result.on_frontier == on]
        if places:
            axes.plot(
                *zip(*places, strict=True),
                marker=MARKERS[look.marker],
                ms=SIZES.get(look.marker, 4.5),
                mfc=face,
                mec=look.light,
                mew=1.0,
                ls="",
                clip_on=False,  # a point at the end of the axis keeps its marker
                zorder=4 + on,
            )


def _name_truth(axes: Axes, panel: Panel, bounds: Bounds, results: list[PointResult]) -> None:
    """Each true frontier's budget, written on the line where most room is left; distances in inches of the panel."""
    subplot, figure = axes.get_subplotspec(), axes.get_figure(root=True)
    assert subplot is not None and figure is not None, "axes stand in a grid of a figure"
    grid = subplot.get_gridspec()
    inches = figure.get_size_inches() * PLOT_SHARE / (grid.ncols, grid.nrows)
    low, high = np.array([bounds[panel.x.name], bounds[panel.y.name]]).T
    scale = inches / (high - low)
    points = np.array([(r.shown(panel.x.name).value, r.shown(panel.y.name).value) for r in results]).reshape(-1, 2)
    lines = [line * scale for line in panel.truth.values()]
    named = places(lines, points * scale, TRUTH_LABEL, low * scale, high * scale)
    for budget, at in zip(panel.truth, named, strict=True):
        if at is not None:
            box = {"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85}
            text: dict[str, Any] = {"fontsize": 6, "color": "#555555", "ha": "center", "va": "center", "zorder": 1.2}
            x, y = at / scale
            axes.text(x, y, f"KL ≤ {budget:g}", bbox=box, **text)


def _reference(axes: Axes, panel: Panel, bounds: Bounds) -> None:
    if panel.x.reference_point is None or panel.y.reference_point is None:
        return
    reference = (panel.x.reference_point, panel.y.reference_point)
    (x_low, x_high), (y_low, y_high) = bounds[panel.x.name], bounds[panel.y.name]
    if x_low <= reference[0] <= x_high and y_low <= reference[1] <= y_high:
        axes.plot(*reference, marker="x", color="#666666", ms=4, mew=0.8, zorder=3, clip_on=False)
        style: dict[str, Any] = {"fontsize": 6, "color": "#555555", "va": "bottom", "textcoords": "offset points"}
        axes.annotate("reference point", reference, (4, 3), **style)
    else:
        text = f"↙ reference point ({reference[0]:g}, {reference[1]:g})"
        axes.text(0.015, 0.02, text, transform=axes.transAxes, fontsize=6, color="#555555")
