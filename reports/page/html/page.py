"""The page: what the template is rendered with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from importlib.resources import files
from itertools import groupby
from typing import Any

import jinja2
from markupsafe import Markup

from reports.findings import caveats, findings, measured
from reports.page import charts, profiles
from reports.page import users as by_user
from reports.page.html.cards import card, flat
from reports.page.html.glossary import Glossary
from reports.page.html.samples import Sample, representatives, samples
from reports.page.markdown import data_notes, prompt_formats, titles, weights
from reports.page.palette import Style, styles
from reports.page.tables import Tables
from reports.page.tables.table import Table, show, sort_key
from reports.results import Analysis, Panel, PointResult
from reports.statistics.estimates import Estimate
from reports.text import display_label, parts

ELSEWHERE = ("published", "caveat", "cells", "failures")
"""Keys of the manifest that the page shows in a section of their own, or that are for machines only."""
FIGURE_FORMATS = ("pdf", "svg", "png")


def render(analysis: Analysis, tables: Tables, manifest: Mapping[str, Any], browser: str = "") -> str:
    """The whole page; all text from data is escaped by the template.

    Parameters
    ----------
    browser : str
        File of the page with every output, in the same folder; empty where there is none.
    """
    looks = styles(analysis.study.methods)
    bounds = charts.shared_limits(analysis)
    done, planned = measured(analysis)
    title, description = titles(manifest)
    said = findings(analysis)
    headlines = [(size, list(group)) for size, group in groupby((f for f in said if f.headline), key=lambda f: f.size)]
    shown = samples(analysis, {name: rank for rank, name in enumerate(looks)})
    curves = [(size, metric, Markup(drawing)) for size, metric, drawing in profiles.curves(analysis, looks)]
    return fill(
        "report.html.j2",
        looks,
        {result.point.id: card(analysis, result) for result in analysis.points.values()},
        keys={name: (analysis.label(name), Markup(charts.legend(look))) for name, look in looks.items()},
        title=title,
        description=description,
        formats_of_prompts=[*weights(manifest), *prompt_formats(manifest), *data_notes(manifest)],
        done=done,
        planned=planned,
        contents=_contents(analysis, tables, shown, bool(curves)),
        findings=said,
        headlines=headlines,
        caveat=manifest.get("caveat", ""),
        caveats=caveats(analysis, {}),
        sizes=[(size, _parameters(analysis, size)) for size in analysis.study.sizes],
        designers=list({panel.x.name: panel.x for panel in analysis.panels}.values()),
        panels=[
            (panel, Markup(charts.frontier(panel, in_panel(analysis, panel, looks), looks, bounds, f"clip{i}")))
            for i, panel in enumerate(analysis.panels)
        ],
        formats=FIGURE_FORMATS,
        users=[
            (size, Markup(drawing), [(label, Markup(heat)) for label, heat in by_user.heat_maps(analysis, size)])
            for size in analysis.study.sizes
            if (drawing := by_user.regret_chart(analysis, size, looks))
        ],
        profiles=[
            (size, Markup(drawing))
            for size in analysis.study.sizes
            if (drawing := profiles.parallel(analysis, size, looks, bounds))
        ],
        curves=curves,
        has_truth=any(charts.shows_truth(panel, bounds) for panel in analysis.panels),
        tables=tables,
        samples=shown,
        browser=browser,
        n_outputs=len(analysis.study.records.generations),
        chosen=representatives(analysis),
        provenance=flat({key: value for key, value in manifest.items() if key not in ELSEWHERE}),
        point_provenance=_provenance(analysis),
        resamples=analysis.resamples,
        seed=analysis.seed,
    )


def fill(
    template: str,
    looks: Mapping[str, Style],
    details: Mapping[str, Mapping[str, Any]],
    keys: Mapping[str, tuple[str, Markup]],
    **values: object,
) -> str:
    """A page of the templates' folder in the report's look, with sortable tables, definitions and cards of points.

    Parameters
    ----------
    template : str
    looks : mapping of str to Style
        Colour and marker by method.
    details : mapping of str to mapping
        Card by point (`cards.card`).
    keys : mapping of str to (str, Markup)
        Label and marker of the methods that legends and tables show.
    **values
        Everything else that the template needs.
    """
    glossary = Glossary()
    return (
        environment(parts=parts, define=glossary.define)
        .get_template(template)
        .render(
            palette=sorted({(look.index, look.light, look.dark) for look in looks.values()}),
            draw=lambda table: _glyphs(table, looks),
            details=details,
            keys=keys,
            glossary=glossary,
            style=Markup(template_text("report.css")),
            theme=Markup(template_text("theme.js")),
            script=Markup(template_text("report.js")),
            **values,
        )
    )


def environment(**filters: Callable[..., object]) -> jinja2.Environment:
    """The templates, which escape all text from data, with the filters that every page has and those given."""
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("reports.page"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    made.filters |= {"show": show, "sort_key": sort_key, **filters}
    return made


def template_text(name: str) -> str:
    """A file of the templates' folder."""
    return files("reports.page").joinpath(f"templates/{name}").read_text(encoding="utf-8")


def _contents(analysis: Analysis, tables: Tables, shown: list[Sample], curves: bool) -> list[tuple[str, str]]:
    """Anchor and title of every section that the page has, in reading order."""
    health = any(table.name == "health" for table in tables.measures)
    sections: list[tuple[str, str, object]] = [
        ("frontiers", "Frontiers", analysis.panels),
        ("hypervolume", tables.scoreboard.title, True),
        ("users", "Users", tables.users),
        ("gaps", tables.gaps.title if tables.gaps else "", tables.gaps),
        ("held-out", "Held-out prompts", tables.held_out),
        ("findings", "Findings", True),
        ("care", "Limitations", True),
        ("comparisons", "Comparisons", tables.versus.rows or tables.planes or tables.comparisons.rows),
        ("points", "Every point", True),
        ("chosen-response", tables.against_chosen.title if tables.against_chosen else "", tables.against_chosen),
        ("published", "Published figures", tables.published),
        ("judges", "Judges", tables.judges or tables.arena or tables.corrected),
        ("length", "Length control", tables.length_control),
        ("training", "Training", health or curves),
        ("measures", "Further measures", [table for table in tables.measures if table.name != "health"]),
        ("samples", "Samples", shown),
        ("missing", "Missing results", True),
        ("budgets", "Tuning budgets", True),
        ("terms", "Terms", True),
        ("provenance", "Provenance", True),
    ]
    return [(anchor, title) for anchor, title, present in sections if present]


def _parameters(analysis: Analysis, size: str) -> str:
    cells = analysis.study.records.cells
    count = int(cells[cells["size"] == size].n_parameters.max())
    if not count:
        return ""
    return f"{count / 1e9:.1f}B parameters" if count >= 1e9 else f"{count / 1e6:.2g}M parameters"


def in_panel(analysis: Analysis, panel: Panel, looks: Mapping[str, Style]) -> list[PointResult]:
    """The panel's points; those on the frontier last and UPO's after the others, so that they lie on top."""
    names = {panel.x.name, panel.y.name}
    front = list(looks)
    return sorted(
        (
            r
            for r in analysis.points.values()
            if r.point.size == panel.size and r.on_frontier is not None and names <= set(r.checkpoints)
        ),
        key=lambda result: (result.on_frontier, -front.index(result.point.method)),
    )


def _glyphs(table: Table, looks: Mapping[str, Style]) -> list[list[str]]:
    """Small interval drawings by row and column, on one scale per column; empty where there is none."""
    scales = {}
    for i, column in enumerate(table.columns):
        values = [row.values[i] for row in table.rows]
        estimates = [value for value in values if isinstance(value, Estimate) and value.low is not None]
        if column.glyph and estimates:
            negative = any(estimate.low is not None and estimate.low < 0 for estimate in estimates)
            scales[i] = charts.interval_limits(estimates, (-math.inf if negative else 0.0, math.inf))
    drawn = []
    for row in table.rows:
        index = looks[row.method].index if row.method in looks else None
        drawn.append(
            [
                Markup(charts.glyph(value, scales[i], index))
                if i in scales and isinstance(value, Estimate) and value.low is not None
                else ""
                for i, value in enumerate(row.values)
            ]
        )
    return drawn


def _provenance(analysis: Analysis) -> list[dict[str, Any]]:
    """Per cell: checkpoint, parameters, cost and command."""
    order = {point.id: rank for rank, point in enumerate(analysis.study.points)}
    cells = analysis.study.records.cells
    cells = cells.assign(rank=cells.point.map(order), label=cells.label.map(display_label))
    rows: list[dict[str, Any]] = cells.sort_values(["rank", "seed"], kind="stable").to_dict("records")
    return rows
