"""Page of a comparison of runs, written completely or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from markupsafe import Markup

from reports.compare.comparison import Beside
from reports.compare.summary import summary, volume_lines
from reports.compare.tables import DIFFERENCES, tables
from reports.page import charts, csv_files, latex, markdown
from reports.page.html import browser
from reports.page.html.cards import card
from reports.page.html.page import fill, in_panel
from reports.page.palette import DASHES, MARKERS, Style, styles
from reports.page.tables.table import Table
from reports.publication import publishing
from reports.text import join, plural

FILES = ("index.html", "compare.md", "tables", "data", browser.PAGE, browser.FOLDER)


def write(beside: Beside, folder: Path) -> Path:
    """Write `index.html`, `compare.md`, `tables/`, `data/` and, where there are outputs, the item browser; returns the page."""
    made = tables(beside)
    with publishing(folder, FILES) as work:
        csv_files.write_tables(made, work / "tables")
        latex.write(made, work / "tables")
        (work / "data").mkdir()
        for panel in beside.analysis.panels if beside.analysis else ():
            csv_files.write_csv(csv_files.panel_frame(panel), work / "data" / f"{panel.file}.csv")
        (work / "compare.md").write_text(_markdown(beside, made), encoding="utf-8")
        outputs = browser.write(beside.analysis, looks(beside), title(beside), work) if beside.analysis else None
        (work / "index.html").write_text(_html(beside, made, outputs.name if outputs else ""), encoding="utf-8")
    return folder / "index.html"


def title(beside: Beside) -> str:
    """The names of the runs in a sentence.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> title(SimpleNamespace(runs={"a": None, "b": None}))
    'a and b beside each other'
    """
    return f"{join(list(beside.runs))} beside each other"


def measured(beside: Beside) -> str:
    """Counts of runs, settings and objectives in common."""
    objectives = plural(len(beside.merged.shared), "objective")
    return f"{plural(len(beside.runs), 'run')}; in common: {plural(beside.settings, 'setting')} on {objectives}"


def _markdown(beside: Beside, made: list[Table]) -> str:
    lines = [f"# {markdown.escape(title(beside))}", "", measured(beside), ""]
    lines += [f"- {markdown.escape(line)}" for line in summary(beside)]
    text = "\n".join([*lines, "", *(line for table in made for line in markdown.table(table))])
    return text.rstrip() + "\n"


def looks(beside: Beside) -> dict[str, Style]:
    """Colours by method and markers by side, for every method of every side."""
    if beside.analysis is None:
        return {}
    methods = beside.analysis.study.methods
    if len(beside.sides) == 1:
        return styles(methods)
    sides = {point.method: beside.merged.settings[point.id] for point in beside.analysis.study.points}
    colours = styles(dict.fromkeys(setting.method for _, setting in sides.values()))
    places = {side.name: place for place, side in enumerate(beside.sides)}
    return {
        method: replace(
            colours[setting.method],
            marker=MARKERS[places[side] % len(MARKERS)],
            dash=DASHES[places[side] % len(DASHES)],
        )
        for method, (side, setting) in sides.items()
    }


def _html(beside: Beside, made: list[Table], outputs: str) -> str:
    styled, analysis = looks(beside), beside.analysis
    bounds = charts.shared_limits(analysis) if analysis else {}
    drawn = [
        (panel, Markup(charts.frontier(panel, in_panel(analysis, panel, styled), styled, bounds, f"clip{i}")))
        for i, panel in enumerate(analysis.panels if analysis else ())
        if analysis
    ]
    return fill(
        "compare.html.j2",
        styled,
        {result.point.id: card(analysis, result) for result in analysis.points.values()} if analysis else {},
        {name: (analysis.label(name), Markup(charts.legend(look))) for name, look in styled.items()}
        if analysis
        else {},
        title=title(beside),
        measured=measured(beside),
        lines=[*summary(beside), *volume_lines(beside)],
        differences=[table for table in made if table.name == DIFFERENCES],
        tables=[table for table in made if table.name != DIFFERENCES],
        sizes=analysis.study.sizes if analysis else [],
        panels=drawn,
        browser=outputs,
        runs=[(name, run.folder, run.manifest.get("command", "")) for name, run in beside.runs.items()],
    )
