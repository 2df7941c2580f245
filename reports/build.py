"""Report of a run folder, written completely or not at all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.records import Records
from reports.analysis import analyse
from reports.labels import read_labels
from reports.manifest import read_manifest
from reports.page import csv_files, html, markdown
from reports.page.html.browser import write as write_browser
from reports.page.palette import styles
from reports.page.tables import tables
from reports.page.tables.published import published
from reports.publication import publishing, settle
from reports.worlds import accidents, orders, read_places, stability, worlds_of

if TYPE_CHECKING:
    import pandas as pd


def build(run_dir: Path, out: Path | None = None, resamples: int = 2000, seed: int = 0) -> Path:
    """Write `index.html`, `report.md`, `figures/`, `data/`, `tables/` and, where there are outputs, `browse.html` and `items/`.

    For a run in several worlds, a report of each and one page about all.

    Parameters
    ----------
    run_dir : Path
        Folder with `records/*.parquet`, or with the run folders of several worlds, and, if there is one, `manifest.json`.
    out : Path, optional
        Where to write; `run_dir/report` by default. An older report there stays until the new one is complete.
    resamples, seed : int
        Joint draws of seeds and prompts, and the root of their random streams.

    Returns
    -------
    Path
        The report's `index.html`.

    Raises
    ------
    FileNotFoundError
        If the records are not complete.
    ValueError
        If the records contradict themselves, or the manifest is not JSON.
    """
    run_dir = Path(run_dir)
    out = Path(out) if out else run_dir / "report"
    settle(run_dir)
    if worlds := worlds_of(run_dir):
        for folder in worlds.values():
            build(folder, None, resamples, seed)
        with publishing(out.parent, [out.name]) as work:
            _write_worlds(run_dir, work / out.name)
        return out / "index.html"
    records, manifest, labels = Records.read(run_dir / "records"), read_manifest(run_dir), read_labels(run_dir)
    with publishing(out.parent, [out.name]) as work:
        _write(records, manifest, work / out.name, resamples, seed, labels)
    return out / "index.html"


def _write_worlds(run_dir: Path, folder: Path) -> None:
    """The page about all worlds of a run, beside the reports of the single worlds."""
    from reports.page import latex
    from reports.page.html import worlds as page

    folder.mkdir()
    places, manifest = read_places(run_dir), read_manifest(run_dir)
    made, odd = [stability(places), orders(places)], accidents(places)
    csv_files.write_tables(made, folder / "tables")
    latex.write(made, folder / "tables")
    lines = [f"# {markdown.titles(manifest)[0]}", "", *[f"- {markdown.escape(line)}" for line in odd], ""]
    text = "\n".join([*lines, *(line for table in made for line in markdown.table(table))])
    (folder / "report.md").write_text(text.rstrip() + "\n", encoding="utf-8")
    (folder / "index.html").write_text(page.render(made, odd, list(worlds_of(run_dir)), manifest), encoding="utf-8")


def _write(
    records: Records, manifest: dict[str, Any], folder: Path, resamples: int, seed: int, labels: pd.DataFrame | None
) -> None:
    from reports.page import figures, latex

    folder.mkdir()
    analysis = analyse(records, resamples, seed, labels)
    made = replace(tables(analysis), published=published(analysis, manifest.get("published")))
    csv_files.write(analysis, folder / "data")
    figures.write(analysis, folder / "figures")
    latex.write(made, folder / "tables")
    csv_files.write_tables(made, folder / "tables")
    (folder / "report.md").write_text(markdown.render(analysis, made, manifest), encoding="utf-8")
    looks = styles(analysis.study.methods)
    browser = write_browser(analysis, looks, markdown.titles(manifest)[0], folder)
    page = html.render(analysis, made, manifest, browser.name if browser else "")
    (folder / "index.html").write_text(page, encoding="utf-8")
