"""Parallel coordinates of all objectives, and training curves, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from textwrap import wrap

import numpy as np
import pandas as pd

from harness.records import Objective
from reports.page.charts import HEIGHT, WIDTH, Axis, Bounds, tick_text, ticks
from reports.page.palette import Style
from reports.results import Analysis, PointResult
from reports.text import number

LEFT, RIGHT, TOP, BOTTOM = 40, 40, 74, 24
LABEL_CHARACTERS = 66
"""Of all axes' labels together, side by side."""
CURVE_WIDTH, CURVE_HEIGHT, STEPS = 300, 170, 120
BOOKKEEPING = ("tokens", "learning_rate", "examples_per_second")
"""Metrics of speed and progress, which are not drawn."""
FIRST = ("loss", "accuracy", "margin", "delta")


def parallel(analysis: Analysis, size: str, styles: dict[str, Style], bounds: Bounds) -> str:
    """Parallel coordinates of one size: a line per point, an axis per objective, better always up."""
    axes = list({o.name: o for panel in analysis.panels for o in (panel.y, panel.x)}.values())
    if len(axes) < 3:
        return ""
    height = HEIGHT - 80
    places = np.linspace(LEFT, WIDTH - RIGHT, len(axes))
    scales = [_upward(axis, bounds[axis.name], height) for axis in axes]
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height}" role="group" aria-label="All objectives, {escape(size)}">'
    ]
    for axis, place, scale in zip(axes, places, scales, strict=True):
        parts.append(f'<path class="plot" d="M{place:.1f} {TOP}V{height - BOTTOM}"/>')
        lines = wrap(axis.label, max(8, LABEL_CHARACTERS // len(axes)))
        parts += [
            f'<text class="axis" x="{place:.1f}" y="{TOP - 20 - 15 * above}" text-anchor="{_anchor(place)}">{escape(line)}</text>'
            for above, line in enumerate(reversed(lines))
        ]
        for end in bounds[axis.name]:
            at = float(scale(end))
            parts.append(
                f'<text class="tick" x="{place:.1f}" y="{at + (14 if at > height / 2 else -3):.1f}" text-anchor="middle">{number(end)}</text>'
            )
    results = [
        r for r in analysis.points.values() if r.point.size == size and all(axis.name in r.checkpoints for axis in axes)
    ]
    parts += [_profile(result, axes, places.tolist(), scales, styles[result.point.method]) for result in results]
    return "".join([*parts, "</svg>"])


def _upward(objective: Objective, bounds: tuple[float, float], height: float) -> Axis:
    low, high = bounds if objective.direction == "maximize" else bounds[::-1]
    return Axis(low, high, height - BOTTOM, TOP)


def _anchor(place: float) -> str:
    return "start" if place < WIDTH / 3 else "end" if place > 2 * WIDTH / 3 else "middle"


def _profile(
    result: PointResult, axes: Sequence[Objective], places: Sequence[float], scales: Sequence[Axis], style: Style
) -> str:
    values = [float(scale(result.shown(axis.name).value)) for axis, scale in zip(axes, scales, strict=True)]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(places, values, strict=True))
    dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
    return (
        f'<g class="point profile c{style.index} {"on" if result.on_frontier else "off"}" tabindex="0" role="img" data-point="{escape(result.point.id)}"'
        f' data-method="{escape(result.point.method)}" aria-label="{escape(result.point.label)}">'
        f'<path class="hit" d="{line}"/><path class="marker"{dash} d="{line}"/></g>'
    )


def curves(analysis: Analysis, styles: dict[str, Style]) -> list[tuple[str, str, str]]:
    """(size, metric, drawing) of every training metric, those that most methods have first: a line per cell."""
    frame = analysis.study.records.curves
    cells = analysis.study.records.cells.set_index("cell")
    frame = frame[frame.cell.isin(cells.index) & np.isfinite(frame.value) & ~frame.metric.isin(BOOKKEEPING)]
    drawn = []
    for size in analysis.study.sizes:
        mine = frame[frame.cell.map(cells["size"]) == size]
        groups = dict(iter(mine.groupby("metric", sort=True)))
        for metric in sorted(groups, key=lambda name: (name not in FIRST, name)):
            group = groups[metric]
            drawn.append((size, metric, _curves(group, cells.method, styles, f"{metric}, {size}")))
    return drawn


def _curves(frame: pd.DataFrame, methods: pd.Series, styles: dict[str, Style], title: str) -> str:
    low, high = float(frame.value.min()), float(frame.value.max())
    pad = 0.06 * ((high - low) or abs(high) or 1.0)
    y = Axis(low - pad, high + pad, CURVE_HEIGHT - 22, 8)
    x = Axis(float(frame.step.min()), float(frame.step.max()) or 1.0, 48, CURVE_WIDTH - 8)
    if x.low == x.high:
        x = Axis(x.low - 1, x.high + 1, x.start, x.end)
    parts = [f'<svg class="chart" viewBox="0 0 {CURVE_WIDTH} {CURVE_HEIGHT}" role="img" aria-label="{escape(title)}">']
    for tick in ticks((y.low, y.high), 4):
        at = float(y(tick))
        parts.append(
            f'<path class="grid" d="M48 {at:.1f}H{CURVE_WIDTH - 8}"/><text class="tick" x="43" y="{at + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        )
    parts.append(
        f'<text class="tick" x="{CURVE_WIDTH - 8}" y="{CURVE_HEIGHT - 6}" text-anchor="end">step {x.high:,.0f}</text>'
    )
    for cell, group in frame.groupby("cell", sort=True):
        group = group.sort_values("step").iloc[:: max(1, len(group) // STEPS)]
        line = "M" + "L".join(
            f"{float(a):.1f} {float(b):.1f}" for a, b in zip(x(group.step), y(group.value), strict=True)
        )
        method = methods[cell]
        parts.append(
            f'<path class="curve c{styles[method].index}" data-method="{escape(method)}" d="{line}"><title>{escape(cell)}</title></path>'
        )
    return "".join([*parts, "</svg>"])
