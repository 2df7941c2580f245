"""Inline SVG of the frontiers: themed by CSS, with focusable and labelled points."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from harness.records import Objective
from reports.page.inline_labels import dense, places
from reports.page.palette import Style
from reports.results import FEW, Analysis, Panel, PointResult
from reports.statistics.estimates import Estimate
from reports.text import with_interval

WIDTH, HEIGHT = 560, 400
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 52
TRUTH_LABEL = (58, 14)
"""Room for the name of a true frontier."""
Bounds = dict[str, tuple[float, float]]
"""Axis limits by objective."""
BEYOND = "the true frontier lies beyond ↗"


@dataclass(frozen=True)
class Axis:
    """Data to pixels; `flip` where smaller is better, so that better is always right and up."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: ArrayLike) -> np.ndarray:
        return self.start + (np.asarray(value, float) - self.low) / (self.high - self.low) * (self.end - self.start)


def limits(
    values: Iterable[float], extras: Iterable[float], possible: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Axis limits that show all values, and the extras that leave at least half of the axis to the values.

    Parameters
    ----------
    values, extras : iterable of float
        Estimates, and ends of intervals or true points.
    possible : (low, high)
        Bounds of the quantity; the axis ends there.

    Examples
    --------
    >>> limits([0.2, 0.6], [0.65, 5.0], (0.0, 1.0))
    (0.173, 0.677)
    >>> limits([0.02, 0.98], [])[1] > 1, limits([0.02, 0.98], [], (0.0, 1.0))
    (True, (0.0, 1.0))
    """
    shown, near = np.array(list(values), float), np.array(list(extras), float)
    low, high = shown.min(), shown.max()
    span = (high - low) or abs(high) * 0.1 or 1.0
    near = near[(near > low - span / 2) & (near < high + span / 2)]
    low, high = min([low, *near]), max([high, *near])
    pad = 0.06 * ((high - low) or span)
    return float(max(low - pad, possible[0])), float(min(high + pad, possible[1]))


def interval_limits(
    estimates: Iterable[Estimate], possible: tuple[float, float] = (-np.inf, np.inf)
) -> tuple[float, float]:
    """Limits of an axis of intervals that one outlier does not stretch.

    Values beyond Tukey's outer fences, three interquartile ranges outside the quartiles, lie off the axis; interval ends
    as in `limits`.

    Examples
    --------
    >>> near = [Estimate(v, None, None, None, 0.95, 1, 0, "") for v in (0.1, 0.12, 0.15, 0.2)]
    >>> far = Estimate(9.0, 1.0, 0.1, 40.0, 0.95, 1, 0, "")
    >>> interval_limits([*near, far], (0.0, np.inf))
    (0.094, 0.206)
    """
    estimates = list(estimates)
    values = np.array([estimate.value for estimate in estimates])
    first, third = np.quantile(values, (0.25, 0.75))
    fence = 3 * (third - first)
    inside = values[(values >= first - fence) & (values <= third + fence)]
    ends = [end for e in estimates for end in (e.low, e.high) if end is not None]
    return limits(inside, ends, possible)


def shared_limits(analysis: Analysis) -> Bounds:
    """Axis limits by objective, the same for all sizes so that panels can be compared."""
    shared = {}
    for objective in {axis.name: axis for panel in analysis.panels for axis in (panel.x, panel.y)}.values():
        every = (result.best(objective.name) for result in analysis.points.values())
        estimates = [estimate for estimate in every if estimate]
        if not estimates:
            continue
        truth = analysis.study.records.truth
        extras = [end for e in estimates for end in (e.low, e.high) if end is not None]
        extras += truth[truth.objective == objective.name].value.tolist()
        shared[objective.name] = limits([estimate.value for estimate in estimates], extras, objective.bounds)
    return shared


def frontier(panel: Panel, results: list[PointResult], styles: dict[str, Style], bounds: Bounds, name: str) -> str:
    """One panel: points with interval crosses, steps per method, the measured and the true frontier."""
    x = _axis(panel.x, bounds[panel.x.name], LEFT, WIDTH - RIGHT)
    y = _axis(panel.y, bounds[panel.y.name], HEIGHT - BOTTOM, TOP)
    title = f"{panel.y.label} against {panel.x.label}, {panel.size}"
    faint = muted(panel, results)
    parts = [
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" aria-label="{escape(title)}">',
        f'<clipPath id="{name}"><rect x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/></clipPath>',
        *_grid(x, panel.x, bounds[panel.x.name], y, panel.y, bounds[panel.y.name]),
        f'<g clip-path="url(#{name})">',
    ]
    for budget, line in panel.truth.items():
        parts.append(
            f'<path class="truth" d="{_path(x(line[:, 0]), y(line[:, 1]))}"><title>True frontier, KL ≤ {budget:g}</title></path>'
        )
    for method, surfaces in panel.attainment.items():
        parts.append(_band(surfaces, x, y, panel, styles[method], method))
    parts.append(f'<path class="front" d="{_extended(panel.frontier, x, y)}"/>')
    for method, steps in panel.steps.items():
        if len(steps) > 1:
            style = styles[method]
            dash = f' stroke-dasharray="{style.dash}"' if style.dash else ""
            parts.append(
                f'<path class="step c{style.index}{" muted" if method in faint else ""}" data-method="{escape(method)}"{dash} d="{_path(x(steps[:, 0]), y(steps[:, 1]))}"/>'
            )
    parts.append("</g>")
    parts += [
        _point(result, panel, x, y, styles[result.point.method], name, result.point.method in faint)
        for result in results
    ]
    points = [
        (float(x(r.checkpoints[panel.x.name].value)), float(y(r.checkpoints[panel.y.name].value))) for r in results
    ]
    parts += _truth_labels(panel, x, y, points)
    if panel.truth and not shows_truth(panel, bounds):
        parts.append(f'<text class="note" x="{WIDTH - RIGHT - 6}" y="{TOP + 15}" text-anchor="end">{BEYOND}</text>')
    parts += _reference(panel, x, y, bounds)
    return "".join([*parts, "</svg>"])


def muted(panel: Panel, results: list[PointResult]) -> set[str]:
    """Of very many methods, those without a point on the frontier, which step back so that the others can be read."""
    on = {result.point.method for result in results if result.on_frontier}
    return set(panel.steps) - on if len(panel.steps) > FEW else set()


def _axis(objective: Objective, bounds: tuple[float, float], start: float, end: float) -> Axis:
    low, high = bounds if objective.direction == "maximize" else bounds[::-1]
    return Axis(low, high, start, end)


def ticks(bounds: tuple[float, float], count: int = 6) -> list[float]:
    """Round numbers within the bounds."""
    from matplotlib.ticker import MaxNLocator

    return [
        tick for tick in MaxNLocator(count, steps=[1, 2, 5, 10]).tick_values(*bounds) if bounds[0] <= tick <= bounds[1]
    ]


def _grid(
    x: Axis,
    x_objective: Objective,
    x_bounds: tuple[float, float],
    y: Axis,
    y_objective: Objective,
    y_bounds: tuple[float, float],
) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = [f'<rect class="plot" x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}"/>']
    for tick in ticks(x_bounds):
        at = float(x(tick))
        parts.append(
            f'<path class="grid" d="M{at:.1f} {TOP}V{bottom}"/><text class="tick" x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{tick_text(tick)}</text>'
        )
    for tick in ticks(y_bounds):
        at = float(y(tick))
        parts.append(
            f'<path class="grid" d="M{LEFT} {at:.1f}H{right}"/><text class="tick" x="{LEFT - 7}" y="{at + 4:.1f}" text-anchor="end">{tick_text(tick)}</text>'
        )
    parts.append(
        f'<text class="axis" x="{right}" y="{HEIGHT - 12}" text-anchor="end">{escape(x_objective.label)}{_sense(x_objective)} <tspan class="better">better →</tspan></text>'
    )
    parts.append(
        f'<text class="axis" transform="translate(15 {TOP}) rotate(-90)" text-anchor="end">{escape(y_objective.label)}{_sense(y_objective)} <tspan class="better">better →</tspan></text>'
    )
    return parts


def tick_text(value: float) -> str:
    """A tick's number, with a true minus."""
    return f"{value:.10g}".replace("-", "−")


def _sense(objective: Objective) -> str:
    return ", reversed:" if objective.direction == "minimize" else ","


def _path(xs: Iterable[float], ys: Iterable[float]) -> str:
    return "M" + "L".join(f"{float(a):.1f} {float(b):.1f}" for a, b in zip(xs, ys, strict=True))


def _extended(corners: np.ndarray, x: Axis, y: Axis) -> str:
    """A staircase carried on to the edges of the plot."""
    xs, ys = x(corners[:, 0]), y(corners[:, 1])
    return _path([LEFT, *xs, xs[-1]], [ys[0], *ys, HEIGHT - BOTTOM])


def _band(surfaces: dict[int, np.ndarray], x: Axis, y: Axis, panel: Panel, style: Style, method: str) -> str:
    """Between the 25 % and the 75 % attainment surface, with the 50 % one as a line."""
    from reports.frontiers.frontier import staircase

    stairs = {level: staircase(corners, (panel.x, panel.y)) for level, corners in surfaces.items() if len(corners)}
    if len(stairs) < 3:
        return ""
    far, middle, near = (_extended(stairs[level], x, y) for level in (25, 50, 75))
    back = "L".join(reversed(near[1:].split("L")))
    return (
        f'<g class="band c{style.index}" data-method="{escape(method)}"><path class="area" d="{far}L{back}Z"/>'
        f'<path class="median" d="{middle}"/></g>'
    )


def _point(result: PointResult, panel: Panel, x: Axis, y: Axis, style: Style, clip: str, faint: bool) -> str:
    across, up = result.shown(panel.x.name), result.shown(panel.y.name)
    at_x, at_y = float(x(across.value)), float(y(up.value))
    cross = ""
    if across.low is not None and across.high is not None:
        cross += f"M{float(x(across.low)):.1f} {at_y:.1f}H{float(x(across.high)):.1f}"
    if up.low is not None and up.high is not None:
        cross += f"M{at_x:.1f} {float(y(up.low)):.1f}V{float(y(up.high)):.1f}"
    label = f"{result.point.label}, {result.point.size}: {panel.y.label} {with_interval(up)}, {panel.x.label} {with_interval(across)}"
    filled = ("on" if result.on_frontier else "off") + (" muted" if faint else "")
    return (
        f'<g class="point c{style.index} {filled}" tabindex="0" role="img" data-point="{escape(result.point.id)}"'
        f' data-method="{escape(result.point.method)}" aria-label="{escape(label)}">'
        f'<path class="error" clip-path="url(#{clip})" d="{cross}"/><path class="hit" d="{marker("circle", at_x, at_y, 13)}"/>'
        f'<path class="marker" d="{marker(style.marker, at_x, at_y)}"/></g>'
    )


def marker(name: str, x: float, y: float, r: float = 5.2) -> str:
    """The outline of a marker as an SVG path."""
    shapes = {
        "star": [(1.55 * (1.0 if k % 2 == 0 else 0.45) * np.sin(np.pi * k / 5), -1.55 * (1.0 if k % 2 == 0 else 0.45) * np.cos(np.pi * k / 5)) for k in range(10)],
        "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
        "triangle": [(0, -1.15), (1.05, 0.8), (-1.05, 0.8)],
        "down": [(0, 1.15), (1.05, -0.8), (-1.05, -0.8)],
        "diamond": [(0, -1.3), (1.05, 0), (0, 1.3), (-1.05, 0)],
        "plus": [(-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4), (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4)],
        "cross": [(-1.1, -0.6), (-0.6, -1.1), (0, -0.5), (0.6, -1.1), (1.1, -0.6), (0.5, 0), (1.1, 0.6), (0.6, 1.1), (0, 0.5), (-0.6, 1.1), (-1.1, 0.6), (-0.5, 0)],
    }  # fmt: skip
    if name == "circle":
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0Z"
    return _path([x + r * a for a, _ in shapes[name]], [y + r * b for _, b in shapes[name]]) + "Z"


def shows_truth(panel: Panel, bounds: Bounds) -> bool:
    """Whether any of the true frontiers comes into view; far better points than the measured ones would squeeze them."""
    low, high = np.array([bounds[panel.x.name], bounds[panel.y.name]]).T
    return any(((line >= low) & (line <= high)).all(axis=1).any() for line in map(dense, panel.truth.values()))


def _truth_labels(panel: Panel, x: Axis, y: Axis, points: list[tuple[float, float]]) -> list[str]:
    """Each true frontier's budget, written on the line where there is most room."""
    lines = [np.stack([x(line[:, 0]), y(line[:, 1])], axis=1) for line in panel.truth.values()]
    named = places(lines, np.array(points), TRUTH_LABEL, (LEFT, TOP), (WIDTH - RIGHT, HEIGHT - BOTTOM))
    return [
        f'<text class="truthlabel" x="{at[0]:.1f}" y="{at[1] + 4:.1f}" text-anchor="middle">KL ≤ {budget:g}</text>'
        for budget, at in zip(panel.truth, named, strict=True)
        if at is not None
    ]


def _reference(panel: Panel, x: Axis, y: Axis, bounds: Bounds) -> list[str]:
    if panel.x.reference_point is None or panel.y.reference_point is None:
        return []
    reference = (panel.x.reference_point, panel.y.reference_point)
    text = f"reference point ({reference[0]:g}, {reference[1]:g})"
    inside = all(
        bounds[o.name][0] <= value <= bounds[o.name][1] for o, value in zip((panel.x, panel.y), reference, strict=True)
    )
    if inside:
        at_x, at_y = float(x(reference[0])), float(y(reference[1]))
        strokes = f"M{at_x - 4:.1f} {at_y - 4:.1f}l8 8m0 -8l-8 8"
        return [
            f'<path class="reference" d="{strokes}"><title>{text}</title></path>',
            f'<text class="note" x="{at_x + 7:.1f}" y="{at_y - 7:.1f}">reference point</text>',
        ]
    return [f'<text class="note" x="{LEFT + 6}" y="{HEIGHT - BOTTOM - 7}">↙ {text}</text>']


def glyph(estimate: Estimate, scale: tuple[float, float], index: int | None) -> str:
    """A small interval beside a number in a table.

    A tick marks zero where the scale crosses it; an arrowhead marks an end that lies beyond the scale.
    """
    axis = Axis(scale[0], scale[1] if scale[1] > scale[0] else scale[0] + 1, 5, 95)
    ends = [estimate.value if end is None else end for end in (estimate.low, estimate.value, estimate.high)]
    low, value, high = (float(axis(end)) for end in ends)
    colour = f" c{index}" if index is not None else ""
    zero = f'<path class="zero" d="M{float(axis(0)):.1f} 1V15"/>' if scale[0] < 0 < scale[1] else ""
    arrows = ("M5 4L1 8L5 12" if low < 5 else "") + ("M95 4L99 8L95 12" if high > 95 else "")
    dot = f'<circle class="dot" cx="{value:.1f}" cy="8" r="3.6"/>' if 5 <= value <= 95 else ""
    line = f"M{min(max(low, 1), 99):.1f} 8H{min(max(high, 1), 99):.1f}"
    return (
        f'<svg class="glyph{colour}" viewBox="0 0 100 16" aria-hidden="true">{zero}'
        f'<path class="error" d="{line}{arrows}"/>{dot}</svg>'
    )


def legend(style: Style) -> str:
    """A method's marker alone."""
    return f'<svg class="key c{style.index}" viewBox="0 0 16 16" aria-hidden="true"><path class="marker" d="{marker(style.marker, 8, 8)}"/></svg>'
