"""Regret against context size, and steering matrices as heat maps, as inline SVG."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import groupby

import numpy as np

from reports.page.charts import Axis, tick_text, ticks
from reports.page.palette import Style
from reports.page.tables.users import BAYES, MATRIX, REGRET, pairs_seen
from reports.results import Analysis, PointResult
from reports.statistics.estimates import Estimate

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 620, 380, 56, 150, 14, 46
CELL, MARGIN = 20, 84
"""Side of a cell of a heat map, and room for the users' names."""


def regret_chart(analysis: Analysis, size: str, looks: dict[str, Style]) -> str:
    """Mean regret of every method against the number of pairs that it sees, with the Bayes curve; empty without users.

    A policy that sees no pairs is a level line.
    """
    results = [r for r in analysis.points.values() if r.point.size == size and REGRET in r.checkpoints]
    steered = [result for result in results if pairs_seen(result) is not None]
    if not steered:
        return ""
    sizes = sorted({pairs for result in steered if (pairs := pairs_seen(result)) is not None})
    shown = [result.shown(REGRET) for result in results]
    bayes = {pairs_seen(result): result.shown(BAYES) for result in steered}
    top = max(estimate.value for estimate in [*shown, *bayes.values()])
    y = Axis(0.0, 1.08 * top, HEIGHT - BOTTOM, TOP)
    places = (
        np.linspace(LEFT + 16, WIDTH - RIGHT - 16, len(sizes))
        if len(sizes) > 1
        else np.array([(LEFT + WIDTH - RIGHT) / 2])
    )
    x = dict(zip(sizes, places.tolist(), strict=True))
    parts = [f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="Regret, {escape(size)}">']
    for tick in ticks((y.low, y.high)):
        at = float(y(tick))
        parts.append(
            f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>'
            f'<text class="tick" x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        )
    parts += [
        f'<text class="tick" x="{place:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{pairs}</text>'
        for pairs, place in x.items()
    ]
    parts.append(
        f'<text class="axis" x="{WIDTH - RIGHT}" y="{HEIGHT - 10}" text-anchor="end">pairs of the user</text>'
        f'<text class="axis" transform="translate(14 {TOP}) rotate(-90)" text-anchor="end">mean regret, nats '
        '<tspan class="better">← better</tspan></text>'
    )
    ends: list[tuple[float, str, str]] = []
    curve = [(x[pairs], bayes[pairs]) for pairs in sizes]
    parts.append(f'<path class="bayes" d="{_path(curve, y)}"/>')
    ends.append((float(y(curve[-1][1].value)), "Bayes", ""))
    for method, group in groupby(sorted(results, key=lambda r: r.point.method), key=lambda r: r.point.method):
        look, own = looks[method], list(group)
        points = sorted((x[pairs], result) for result in own if (pairs := pairs_seen(result)) is not None)
        line = [(place, result.shown(REGRET)) for place, result in points]
        if not line:
            level = min((result.shown(REGRET) for result in own), key=lambda estimate: estimate.value)
            line = [(places[0], level), (places[-1], level)]
        dash = "" if points else ' stroke-dasharray="6 4"'
        parts.append(
            f'<g class="c{look.index}" data-method="{escape(method)}"><path class="curve"{dash} d="{_path(line, y)}"/>'
            + "".join(_interval(place, estimate, y) for place, estimate in line if points)
            + "</g>"
        )
        ends.append((float(y(line[-1][1].value)), analysis.label(method), f"c{look.index}"))
    parts += _names(ends)
    return "".join([*parts, "</svg>"])


def _path(line: Sequence[tuple[float, Estimate]], y: Axis) -> str:
    return "M" + "L".join(f"{place:.1f} {float(y(estimate.value)):.1f}" for place, estimate in line)


def _interval(place: float, estimate: Estimate, y: Axis) -> str:
    dot = f'<circle class="dot" cx="{place:.1f}" cy="{float(y(estimate.value)):.1f}" r="3"/>'
    if estimate.low is None or estimate.high is None:
        return dot
    low, high = (float(y(min(max(end, y.low), y.high))) for end in (estimate.low, estimate.high))
    return f'<path class="whisker" d="M{place:.1f} {low:.1f}V{high:.1f}"/>{dot}'


def _names(ends: Sequence[tuple[float, str, str]]) -> list[str]:
    """Names at the right ends of the lines, moved apart so that none covers another."""
    parts, lowest = [], -np.inf
    for at, label, colour in sorted(ends):
        place = max(at + 4, lowest + 13)
        lowest = place
        parts.append(
            f'<text class="tick {colour}" x="{WIDTH - RIGHT + 8}" y="{min(place, HEIGHT - 4):.1f}">{escape(label)}</text>'
        )
    return parts


def heat_maps(analysis: Analysis, size: str) -> list[tuple[str, str]]:
    """(method, drawing) of the steering matrix of every method with the most pairs, all on one scale."""
    results = [r for r in analysis.points.values() if r.point.size == size and REGRET in r.checkpoints]
    last: dict[str, PointResult] = {}
    for result in sorted(results, key=lambda r: pairs_seen(r) or 0):
        last[result.point.method] = result
    matrices = {method: matrix for method, result in last.items() if (matrix := _matrix(analysis, result)) is not None}
    steering = {method: matrix for method, matrix in matrices.items() if np.ptp(matrix[1], axis=0).max() > 1e-12}
    if not steering:
        return []
    low, high = (end([end(matrix) for _, matrix in steering.values()]) for end in (np.min, np.max))
    return [(analysis.label(method), _heat(*steering[method], float(low), float(high))) for method in steering]


def _matrix(analysis: Analysis, result: PointResult) -> tuple[list[str], np.ndarray] | None:
    """The users, and the value for each (column) of the policy that was given each one's context (row), mean over seeds."""
    measures = analysis.study.records.measures
    own = measures[(measures.group == MATRIX) & measures.cell.isin(result.point.cells)]
    if own.empty:
        return None
    means = own.groupby("name").value.mean()
    names = sorted({name.partition(" > ")[0] for name in means.index})
    return names, np.array([[means[f"{given} > {judge}"] for judge in names] for given in names])


def _heat(names: Sequence[str], matrix: np.ndarray, low: float, high: float) -> str:
    side = MARGIN + CELL * len(names) + 8
    parts = [f'<svg class="chart heat" viewBox="0 0 {side} {side}" role="img" aria-label="Steering matrix">']
    for row, given in enumerate(names):
        at = MARGIN + CELL * row
        parts.append(f'<text class="tick" x="{MARGIN - 6}" y="{at + 14}" text-anchor="end">{escape(given)}</text>')
        parts.append(
            f'<text class="tick" transform="translate({at + 14} {MARGIN - 6}) rotate(-90)">{escape(given)}</text>'
        )
        for column, judge in enumerate(names):
            value = float(matrix[row, column])
            shade = (value - low) / ((high - low) or 1.0)
            parts.append(
                f'<rect class="heat-cell{" own" if row == column else ""}" x="{MARGIN + CELL * column}" y="{at}" '
                f'width="{CELL - 1}" height="{CELL - 1}" fill-opacity="{0.04 + 0.92 * shade:.2f}"><title>context of '
                f"{escape(given)}, value for {escape(judge)}: {value:.3f}</title></rect>"
            )
    return "".join([*parts, "</svg>"])
