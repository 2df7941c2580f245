"""Tables of docs/results.md: made from runs, stored under docs/tables, and written into the page.

    python -m tests.performance.results_page runs            # from the runs in this folder; then the page
    python -m tests.performance.results_page                 # the page alone, from the stored tables

A table of the page stands behind a line ``<!-- table: NAME -->`` and is docs/tables/NAME.csv. A run that the folder lacks leaves
its tables as they are stored.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from harness.records import Records
from reports.analysis import analyse
from reports.page.tables.table import show
from reports.results import Analysis
from reports.text import display_name, number, with_interval
from reports.worlds import read_places, stability
from tests.paths import ROOT
from tests.performance import behaviours, paper_claims

PAGE = ROOT / "docs" / "results.md"
STORED = ROOT / "docs" / "tables"
MARK = re.compile(r"(<!-- table: ([a-z_]+) -->\n\n)((?:\|.*\n)+)")
ON_GRAMMAR = 0.1
"""Share of probability that a setting may put on text off the grammar to count as on it."""

Lines = list[list[str]]
"""A table as texts; the first line is the header."""


def bench(run: Path) -> Lines:
    """Hypervolumes and gaps of the methods of `bench`."""
    analysis = analyse(Records.read(run / "records"))
    rows = [["method", "hypervolume", "mean gap", "smallest gap"]]
    for size in analysis.study.sizes:
        for result in analysis.ranked(size):
            rows.append([result.label, show(result.at_budget), show(result.gap), show(result.smallest_gap)])
    return rows


def power(run: Path) -> Lines:
    """Differences that `bench` can show."""
    from reports.page.tables.tuning import power as table

    made = table(analyse(Records.read(run / "records")))
    if made is None:
        raise ValueError(f"{run}: no pair of methods has an interval")
    return [[column.title for column in made.columns], *([show(value) for value in row.values] for row in made.rows)]


def methods(run: Path) -> Lines:
    """The ranking of `methods` by gap."""
    analysis = analyse(Records.read(run / "records"))
    heads = ["rank", "method", "gap at 1 nat", "rank, 95 %", "hypervolume", "settings on the grammar", "training, s"]
    volumes = {(result.size, result.method): result for result in analysis.methods}
    rows = [heads]
    for gap in analysis.gaps:
        volume = volumes[gap.size, gap.method].at_budget
        shown = with_interval(gap.gap)
        on_grammar, settings, seconds = _settings(analysis, gap.size, gap.method)
        rows.append(
            [
                str(gap.rank), gap.label, f"**{shown}**" if gap.tied or gap.rank == 1 else shown,
                f"{gap.ranks[0]} to {gap.ranks[1]}" if gap.ranks else "–", show(volume), f"{on_grammar} of {settings}",
                number(seconds),
            ]
        )  # fmt: skip
    return rows


def _settings(analysis: Analysis, size: str, method: str) -> tuple[int, int, float]:
    """Settings on the grammar, settings, and mean seconds of training."""
    records = analysis.study.records
    measures = records.measures
    off = measures[(measures.group == "exact") & (measures.name == "mass_off_grammar")].set_index("cell").value
    points = analysis.study.select(size, method)
    means = [float(off.reindex(list(point.cells)).mean()) for point in points]
    cells = records.cells[(records.cells.method == method) & (records.cells["size"] == size)]
    return sum(mean < ON_GRAMMAR for mean in means), len(points), float(cells.train_seconds.mean())


def claims(run: Path) -> Lines:
    """Claims of the papers, held against `methods`."""
    return read_table(behaviours.report(Records.read(run / "records")))


def closed_form(run: Path) -> Lines:
    """Trained policies and their largest difference from the optimum of their derivation, means over seeds."""
    records = Records.read(run / "records")
    exact = records.measures[records.measures.group == "exact"]
    method = records.cells.set_index("cell").method
    means = exact.groupby([exact.cell.map(method), "name"]).value.mean().unstack()
    names = (
        "win_rate_conditional",
        "toxicity_conditional",
        "readability_conditional",
        "kl",
        "mass_off_grammar",
        "target_difference",
    )
    heads = [
        "policy",
        "win rate",
        "toxicity",
        "readability",
        "KL from μ",
        "off the grammar",
        "from its derivation's optimum",
    ]
    return [
        heads,
        *([display_name(str(name)), *(number(row.get(each)) for each in names)] for name, row in means.iterrows()),
    ]


def hh(run: Path) -> Lines:
    """Hypervolumes of `hh`."""
    analysis = analyse(Records.read(run / "records"))
    rows = [["method", "hypervolume (win rate, safety, readability)"]]
    return rows + [[r.label, show(r.at_budget)] for size in analysis.study.sizes for r in analysis.ranked(size)]


def worlds(run: Path) -> Lines:
    """Places of the methods over worlds."""
    made = stability(read_places(run))
    return [[column.title for column in made.columns], *([show(value) for value in row.values] for row in made.rows)]


def real(run: Path) -> Lines:
    """The figures of UPO's paper for every setting of `real`."""
    from reports.page.tables.chosen_response import against_chosen

    made = against_chosen(analyse(Records.read(run / "records")))
    if made is None:
        raise ValueError(f"{run}: violations against chosen responses were not measured")
    return [
        [column.title for column in made.columns[1:]],
        *([show(value) for value in row.values[1:]] for row in made.rows),
    ]


def paper(run: Path) -> Lines:
    """Claims of UPO's paper, held against `real`."""
    return paper_claims.held(Records.read(run / "records"))


TABLES: dict[str, tuple[str, Callable[[Path], Lines]]] = {
    "bench": ("bench", bench),
    "power": ("bench", power),
    "methods": ("methods", methods),
    "claims": ("methods", claims),
    "closed_form": ("closed-form", closed_form),
    "hh": ("hh", hh),
    "worlds": ("worlds", worlds),
    "real": ("real", real),
    "paper": ("real", paper),
}
"""By table: the name of the run's folder, and how the table is made from it."""


def read_table(text: str) -> Lines:
    """The cells of a Markdown table, without the line under the header.

    Examples
    --------
    >>> read_table("| a | b |\\n|---|---|\\n| 1 | 2 |\\n")
    [['a', 'b'], ['1', '2']]
    """
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in text.strip().splitlines()]
    return [rows[0], *rows[2:]]


def write_table(rows: Lines) -> str:
    """A Markdown table.

    Examples
    --------
    >>> print(write_table([["a", "b"], ["1", "2"]]), end="")
    | a | b |
    |---|---|
    | 1 | 2 |
    """
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "".join(("|---" * len(row) + "|\n") if n == 1 else f"| {' | '.join(row)} |\n" for n, row in enumerate(lines))


def stored(name: str) -> Lines:
    """A stored table."""
    with (STORED / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def page_with(text: str) -> str:
    """The page with every table as it is stored."""
    return MARK.sub(lambda found: found[1] + write_table(stored(found[2])), text)


def on_page(text: str) -> Iterator[str]:
    """Names of the tables that the page shows."""
    return (found[2] for found in MARK.finditer(text))


def store(runs: Path) -> None:
    """Make the tables of every run that is there."""
    STORED.mkdir(exist_ok=True)
    for name, (folder, maker) in TABLES.items():
        if (runs / folder / "records").is_dir() or (runs / folder / "worlds").is_dir():
            with (STORED / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(maker(runs / folder))
            print(STORED / f"{name}.csv")


def main(runs: Annotated[Path | None, typer.Argument(help="Folder of the runs' output folders.")] = None) -> None:
    """Make the tables from runs, and write them into the page."""
    if runs is not None:
        store(runs)
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
