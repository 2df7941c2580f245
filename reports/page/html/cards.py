"""The card of a point: a few lines at first, the rest folded."""

from __future__ import annotations

import json
from typing import Any

from reports.results import Analysis, PointResult
from reports.text import duration, percent, plural, with_interval


def card(analysis: Analysis, result: PointResult) -> dict[str, Any]:
    """The texts of a point's card, for the page's script.

    `short` holds the objectives of the frontier, `rows` the other ones; a row is objective, estimate and counts.
    """
    point, cost = result.point, analysis.costs[result.point.id]
    frontier = {objective.name for objective in analysis.objectives}
    short: list[list[str]] = []
    rest: list[list[str]] = []
    for name, grid in analysis.study.grids.items():
        estimate = result.best(name)
        if estimate is None:
            continue
        scope = "" if result.method.get(name) else " (these checkpoints)"
        lost = f", {estimate.n_missing} missing" if estimate.n_missing else ""
        row = [grid.objective.label, with_interval(estimate), f"n = {estimate.n:,}{lost}{scope}"]
        (short if name in frontier else rest).append(row)
    return {
        "title": f"{point.label} · {point.size}",
        "short": short,
        "membership": f"On the frontier in {percent(result.membership)} of {analysis.resamples:,} joint draws"
        if result.membership is not None
        else "",
        "parameters": ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in flat(point.parameters)),
        "seeds": f"{plural(len(point.seeds), 'seed')} ({', '.join(map(str, point.seeds))}) of {point.planned}",
        "rows": rest,
        "cost": f"{duration(cost['train_seconds'])} training, {duration(cost['evaluate_seconds'])} evaluation, "
        f"{int(cost['trained_tokens']):,} tokens trained, {int(cost['generated_tokens']):,} generated, per seed",
        "command": point.command,
    }


def flat(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """The entries of nested mappings as `a.b` and text, in their order.

    Examples
    --------
    >>> flat({"a": {"b": 1}, "c": "d"})
    [('a.b', '1'), ('c', 'd')]
    """
    if isinstance(value, dict):
        return [pair for key, inner in value.items() for pair in flat(inner, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, value if isinstance(value, str) else json.dumps(value))]
