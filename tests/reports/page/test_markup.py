"""Names are text in every output, whatever they mean to HTML, Markdown, LaTeX, matplotlib or a spreadsheet."""

from __future__ import annotations

import csv
import html
import re
from dataclasses import replace

import pandas as pd
import pytest
from matplotlib.figure import Figure

from reports.analysis import analyse
from reports.page import csv_files, figures, latex, markdown, pgf
from reports.page.html import page
from reports.page.tables import tables
from reports.page.tables.table import Column, Row, Table
from tests.reports import synthetic

NAMES = (
    "cost_$1 vs loss_$2", r"a\b{c}", "<i>x</i> & y", "[red]z[/red]", "=HYPERLINK(1)", "100% ~ #1^2", "a|b `c` *d* ![e](http://f/g)", "名前",
)  # fmt: skip


@pytest.fixture(scope="module")
def analysis():
    methods = [synthetic.MadeMethod(name, 0.01 * number) for number, name in enumerate(NAMES)]
    records = synthetic.make(methods=methods, sizes=("tiny",), seeds=(0,), prompts=20, with_truth=False)
    return analyse(replace(records), resamples=20)


@pytest.fixture(scope="module")
def made(analysis):
    return tables(analysis)


def test_figures_show_every_name_as_it_is(analysis, tmp_path):
    written = figures.write(analysis, tmp_path)
    drawn = "".join(path.read_text(encoding="utf-8").casefold() for path in written if path.suffix == ".svg")
    assert written and all(html.escape(name, quote=False).casefold() in drawn for name in NAMES)


def test_a_figure_in_latex_escapes_every_name(tmp_path):
    figure = Figure()
    figure.text(0.5, 0.5, r"cost_$1 a\b{c} & #1", parse_math=False)
    drawn = pgf.save(figure, tmp_path / "figure.pgf").read_text(encoding="utf-8")
    assert r"cost\_\$1 a\textbackslash{}b\{c\} \& \#1" in drawn


def test_markdown_holds_no_markup_of_a_name(analysis, made):
    text = markdown.render(analysis, made, {"title": "# <b>t</b>\n| $x$", "caveat": "- c"})
    assert not re.search(r"<(?!br>)[a-z/]|(?<!\\)`c|(?<!\\)\$|(?<!\\)\]\(http", text)
    assert text.startswith("# \\# &lt;b>t&lt;/b> \\| \\$x\\$\n") and "\n> \\- c\n" in text
    for line in text.splitlines():
        if line.startswith("|"):
            heads = len(re.findall(r"(?<!\\)\|", line))
            assert heads == len(re.findall(r"(?<!\\)\|", line.replace(r"\|", "")))


def test_the_page_holds_no_markup_of_a_name(analysis, made):
    text = page.render(analysis, made, {"title": "<script>alert(1)</script>", "caveat": "<i>c"})
    assert "<i>" not in text and "<script>alert" not in text and "&lt;i&gt;x&lt;/i&gt; &amp; y" in text


def test_latex_tables_balance(made):
    for table in made:
        text = re.sub(r"\\[\\{}$&%#_]", "", latex.render(table))
        assert text.count("{") == text.count("}") and text.count("$") % 2 == 0
    note = latex.render(Table("t", "T", (Column("A"),), (Row(("x",)),), note="one\n\\input{x}"))
    assert "\n\\input" not in note


def test_a_spreadsheet_computes_nothing(analysis, tmp_path):
    csv_files.write(analysis, tmp_path)
    cells = [cell for file in tmp_path.glob("*.csv") for row in csv.reader(file.open(encoding="utf-8")) for cell in row]
    assert "'=HYPERLINK(1)" in cells
    assert not [cell for cell in cells if cell.startswith(("=", "@", "\t"))]
    csv_files.write_csv(pd.DataFrame({"-x": ["+1", "+a", 0.5]}), tmp_path / "own.csv")
    assert (tmp_path / "own.csv").read_text(encoding="utf-8") == "'-x\n+1\n'+a\n0.5\n"
