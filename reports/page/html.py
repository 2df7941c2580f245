"""The report as one HTML file that needs nothing else."""

from __future__ import annotations

import json
from importlib.resources import files
from itertools import groupby

import jinja2
from markupsafe import Markup

from reports.findings import caveats, findings, measured
from reports.frontiers.selection import representative
from reports.page import charts, profiles
from reports.page.markdown import titles
from reports.page.palette import styles
from reports.page.tables import Tables
from reports.page.tables.table import Table, show
from reports.results import Analysis
from reports.statistics.estimates import Estimate
from reports.text import duration, parts, percent, plural, with_interval

SAMPLE_PROMPTS = 8
SAMPLE_LIMIT = 600
ELSEWHERE = ("published", "caveat", "cells", "failures")
"""Of the manifest, what the page shows in a place of its own, or only for machines."""


def render(analysis: Analysis, tables: Tables, manifest: dict) -> str:
    """The whole page; all text from data is escaped by the template."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("reports.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["show"] = show
    environment.filters["parts"] = parts
    looks = styles(analysis.study.methods)
    bounds = charts.shared_limits(analysis)
    done, planned = measured(analysis)
    title, description = titles(manifest)
    template = environment.get_template("report.html.j2")
    return template.render(
        title=title,
        description=description,
        done=done,
        planned=planned,
        findings=(said := findings(analysis)),
        headlines=[
            (size, list(group)) for size, group in groupby((f for f in said if f.headline), key=lambda f: f.size)
        ],
        caveat=manifest.get("caveat", ""),
        caveats=caveats(analysis, {}),
        sizes=[(size, _parameters(analysis, size)) for size in analysis.study.sizes],
        methods=[(name, analysis.label(name), Markup(charts.legend(looks[name]))) for name in analysis.study.methods],
        palette=[
            (look.index, look.light, look.dark) for look in {look.index: look for look in looks.values()}.values()
        ],
        designers=list({panel.x.name: panel.x for panel in analysis.panels}.values()),
        panels=[
            (panel, Markup(charts.frontier(panel, _in_panel(analysis, panel), looks, bounds, f"clip{i}")))
            for i, panel in enumerate(analysis.panels)
        ],
        profiles=[
            (size, Markup(drawing))
            for size in analysis.study.sizes
            if (drawing := profiles.parallel(analysis, size, looks, bounds))
        ],
        curves=[(size, metric, Markup(drawing)) for size, metric, drawing in profiles.curves(analysis, looks)],
        has_truth=any(charts.shows_truth(panel, bounds) for panel in analysis.panels),
        tables=tables,
        draw=lambda table: _drawn(table, looks),
        samples=_samples(analysis),
        chosen=_chosen(analysis),
        details={result.point.id: _detail(analysis, result) for result in analysis.points.values()},
        provenance=_flat({key: value for key, value in manifest.items() if key not in ELSEWHERE}),
        point_provenance=_provenance(analysis),
        resamples=analysis.resamples,
        seed=analysis.seed,
        style=Markup(files("reports.page").joinpath("templates/report.css").read_text(encoding="utf-8")),
        script=Markup(files("reports.page").joinpath("templates/report.js").read_text(encoding="utf-8")),
    )


def _parameters(analysis: Analysis, size: str) -> str:
    cells = analysis.study.records.cells
    count = int(cells[cells["size"] == size].n_parameters.max())
    if not count:
        return ""
    return f"{count / 1e9:.1f}B parameters" if count >= 1e9 else f"{count / 1e6:.2g}M parameters"


def _in_panel(analysis: Analysis, panel):
    """The panel's points; those on the frontier last, so that they lie on top."""
    names = {panel.x.name, panel.y.name}
    return sorted(
        (
            r
            for r in analysis.points.values()
            if r.point.size == panel.size and r.on_frontier is not None and names <= set(r.checkpoints)
        ),
        key=lambda result: result.on_frontier,
    )


def _drawn(table: Table, looks) -> list[list[Markup | str]]:
    """Per row the small interval drawings, on one scale per column."""
    scales = {}
    for i, column in enumerate(table.columns):
        found = [
            row.values[i] for row in table.rows if isinstance(row.values[i], Estimate) and row.values[i].low is not None
        ]
        if column.glyph and found:
            scales[i] = (min(e.low for e in found), max(e.high for e in found))
    drawn = []
    for row in table.rows:
        index = looks[row.method].index if row.method in looks else None
        cells = []
        for i, value in enumerate(row.values):
            known = i in scales and isinstance(value, Estimate) and value.low is not None
            cells.append(Markup(charts.glyph(value.low, value.high, value.value, scales[i], index)) if known else "")
        drawn.append(cells)
    return drawn


def _detail(analysis: Analysis, result) -> dict:
    """What hovering over a point shows."""
    point, cost = result.point, analysis.costs[result.point.id]
    rows = []
    for name, grid in analysis.study.grids.items():
        if name in result.checkpoints:
            found = result.best(name)
            scope = "" if result.method.get(name) else " (these checkpoints)"
            lost = f", {found.n_missing} missing" if found.n_missing else ""
            rows.append([grid.objective.label, f"{with_interval(found)}", f"n = {found.n:,}{lost}{scope}"])
    return {
        "title": f"{point.label} · {point.size}",
        "method": point.method,
        "parameters": ", ".join(f"{key.rpartition('.')[2]} = {value}" for key, value in _flat(point.parameters)),
        "seeds": f"{plural(len(point.seeds), 'seed')} ({', '.join(map(str, point.seeds))}) of {point.planned}",
        "rows": rows,
        "membership": f"On the frontier in {percent(result.membership)} of {analysis.resamples:,} joint draws"
        if result.membership is not None
        else "",
        "cost": f"{duration(cost['train_seconds'])} training, {duration(cost['evaluate_seconds'])} evaluation, "
        f"{int(cost['trained_tokens']):,} tokens trained, {int(cost['generated_tokens']):,} generated, per seed",
        "command": point.command,
    }


def _samples(analysis: Analysis) -> list[dict]:
    """Prompts with the responses of one seed of every point, side by side."""
    frame = analysis.study.records.generations
    first = {point.cells[0]: point for point in analysis.study.select()}
    frame = frame[frame.cell.isin(first) & (frame.trial == 0)]
    if frame.empty:
        return []
    points = max(1, frame.cell.nunique())
    # Whatever has gone wrong anywhere comes first, then the prompts in their order.
    troubled = frame.assign(bad=frame.status != "ok").groupby("item", sort=True).bad.sum()
    order = [*troubled[troubled > 0].sort_values(ascending=False, kind="stable").index[:2]]
    order += [item for item in troubled.index if item not in order]
    chosen = order[: max(1, min(SAMPLE_PROMPTS, SAMPLE_LIMIT // points))]
    rank = {cell: i for i, cell in enumerate(first)}
    samples = []
    for item in chosen:
        rows = frame[frame["item"] == item].to_dict("records")
        responses = [
            {
                "point": first[row["cell"]],
                "text": row["response"],
                "tokens": row["n_tokens"],
                "status": row["status"],
                "seed": first[row["cell"]].seeds[0],
            }
            for row in sorted(rows, key=lambda row: rank[row["cell"]])
        ]
        samples.append(
            {
                "item": item,
                "prompt": rows[0]["prompt"],
                "sizes": [(size, list(group)) for size, group in groupby(responses, key=lambda r: r["point"].size)],
            }
        )
    return samples


def _chosen(analysis: Analysis) -> set[str]:
    """One point per method and size, whose samples are shown at first."""
    grids, objectives = analysis.study.grids, analysis.objectives
    groups = [analysis.study.select(size, method) for size in analysis.study.sizes for method in analysis.study.methods]
    groups = [[p for p in group if all(grids[o.name].rows(p.cells) for o in objectives)] for group in groups]
    return {representative(group, grids, objectives).id for group in groups if group}


def _flat(value, prefix: str = "") -> list[tuple[str, str]]:
    """A manifest's entries as `a.b` and text, in its own order."""
    if isinstance(value, dict):
        return [
            pair for key, inner in value.items() for pair in _flat(inner, f"{prefix}.{key}" if prefix else str(key))
        ]
    return [(prefix, value if isinstance(value, str) else json.dumps(value))]


def _provenance(analysis: Analysis) -> list[dict]:
    """Per cell: where its checkpoint is, how it was made and what it cost."""
    order = {point.id: rank for rank, point in enumerate(analysis.study.points)}
    cells = analysis.study.records.cells
    return cells.assign(rank=cells.point.map(order)).sort_values(["rank", "seed"], kind="stable").to_dict("records")
