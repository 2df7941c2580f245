"""Figures for papers: exact width, byte-identical output, valid PGF, bold by test."""

from __future__ import annotations

import re

import pytest

from reports.page.paper import VENUES, figures_for_paper
from reports.page.tables.points import points
from tests.reports import synthetic
from tests.reports.synthetic import METHODS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    records = synthetic.make(methods=METHODS[2:4], sizes=["tiny"], prompts=15, with_generations=False)
    return synthetic.write(tmp_path_factory.mktemp("paper"), records)


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    return figures_for_paper(run, tmp_path_factory.mktemp("figures"), "icml", "single", resamples=50)


def test_every_figure_has_pdf_pgf_and_csv(made):
    names = {path.name for path in made}
    for stem in ("frontier-tiny", "attainment-tiny", "hypervolume"):
        assert {f"{stem}.{ending}" for ending in ("pdf", "pgf", "csv")} <= names
    assert "points.tex" in names
    assert all(path.stat().st_size for path in made)


def test_the_width_is_the_columns(made):
    for path in made:
        if path.suffix == ".pdf":
            box = re.search(rb"/MediaBox \[ ?0 0 ([\d.]+)", path.read_bytes())
            assert float(box[1]) == pytest.approx(72 * VENUES["icml"].single, abs=0.01)
        if path.suffix == ".pgf":
            assert "\\pgfpathrectangle{\\pgfpointorigin}{\\pgfqpoint{3.250000in}" in path.read_text()


def test_a_second_run_gives_the_same_bytes(run, made, tmp_path):
    again = figures_for_paper(run, tmp_path, "icml", "single", resamples=50)
    assert [path.name for path in again] == [path.name for path in made]
    for one, other in zip(made, again, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_pgf_is_balanced_and_plain(made):
    for path in (path for path in made if path.suffix == ".pgf"):
        text = re.sub(r"\\catcode`\\[%^]=\\active\\def[%^]\{.*?\}(?=\S)", "", path.read_text())
        lines = [line for line in text.splitlines() if not line.startswith("%%")]
        assert text.count("\\begin{pgfscope}") == text.count("\\end{pgfscope}") > 10
        assert text.count("\\begin{pgfpicture}") == text.count("\\end{pgfpicture}") == 1
        assert all(line.isascii() for line in lines), "a document without these letters could not set it"
        assert "\\includegraphics" not in text


def test_bold_means_not_significantly_worse(analysis):
    table = points(analysis)
    titles = [column.title for column in table.columns]
    for name in ("Win rate", "Toxicity", "Readability"):
        column = titles.index(name)
        for size in ("tiny", "small"):
            rows = [row for row in table.rows if row.size == size]
            sft = next(row for row in rows if row.method == "sft")
            marked = [row for row in rows if column in row.marks]
            best = (min if name == "Toxicity" else max)(rows, key=lambda row: row.values[column].value)
            assert best in marked
            # 40 prompts cannot tell all win rates apart, but they can tell the ends of the designer objectives.
            assert sft not in marked or name == "Win rate"


def test_unknown_names_are_refused_with_the_nearest(run, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'neurips'"):
        figures_for_paper(run, tmp_path, "nurips")
    with pytest.raises(ValueError, match="'single' or 'double'"):
        figures_for_paper(run, tmp_path, "acl", "triple")
