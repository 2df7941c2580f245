"""The report as files: complete, deterministic, replaced as a whole, and correct in edge cases."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.costs import COSTS
from harness.records import Objective, Records, to_frame
from reports import build as building
from reports.analysis import analyse
from reports.build import build
from reports.findings import caveats, findings
from reports.page import html, latex, markdown
from reports.page.tables import tables
from tests.reports import synthetic
from tests.reports.conftest import DRAWS, HOSTILE
from tests.reports.synthetic import METHODS, MadeMethod


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def small(**options) -> Records:
    return synthetic.make(**{"methods": METHODS[1:4], "sizes": ["tiny"], "prompts": 12} | options)


def test_everything_is_written(report):
    names = set(files_of(report))
    assert {"index.html", "report.md", "data/points.csv", "tables/points.tex", "data/truth.csv"} <= names
    for size in ("tiny", "small"):
        for objective in ("toxicity", "readability"):
            stem = f"frontier-{size}-win_rate-{objective}"
            assert {f"figures/{stem}.{ending}" for ending in ("pdf", "svg", "png")} | {f"data/{stem}.csv"} <= names


def test_two_builds_are_byte_identical(tmp_path):
    folder = synthetic.write(tmp_path, small())
    first = files_of(build(folder, tmp_path / "one", resamples=50).parent)
    second = files_of(build(folder, tmp_path / "two", resamples=50).parent)
    assert first == second


def test_an_interrupted_build_leaves_the_old_report(tmp_path, monkeypatch):
    folder = synthetic.write(tmp_path, small())
    page = build(folder, resamples=50)
    before = files_of(page.parent)
    monkeypatch.setattr(building.markdown, "render", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        build(folder, resamples=60)
    assert files_of(page.parent) == before
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".lock"}
    assert left == {"records", "manifest.json", "report"}


def test_a_new_build_replaces_the_old_one(tmp_path):
    folder = synthetic.write(tmp_path, small())
    build(folder, resamples=50)
    (folder / "report" / "stale.txt").write_text("old")
    build(folder, resamples=50)
    assert not (folder / "report" / "stale.txt").exists()


def test_model_text_is_escaped(report):
    page = (report / "index.html").read_text()
    assert HOSTILE not in page and "&lt;script&gt;alert(" in page
    assert "<img src=x" not in page


def test_names_from_records_are_escaped_everywhere(tmp_path):
    records = small(with_generations=False)
    records.cells["label"] = "</script><script>alert(1)</script> a_b & 50 %"
    folder = synthetic.write(tmp_path, records)
    page = build(folder, resamples=20)
    assert "<script>alert(1)" not in page.read_text()
    assert "<script>" not in (page.parent / "report.md").read_text()
    assert r"a\_b \& 50 \%" in (page.parent / "tables" / "points.tex").read_text()


def test_the_page_names_no_other_host(report):
    page = (report / "index.html").read_text()
    for word in ("http://", "https://", "src=", "@import", "url(h"):
        assert word not in page.replace(HOSTILE, "").replace("&lt;img src=x", "")


def test_reports_does_not_import_torch():
    code = "import reports, reports.build, reports.page.figures, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(building.__file__).parents[1]).returncode == 0


def test_csv_holds_what_the_page_shows(report, analysis):
    points = pd.read_csv(report / "data" / "points.csv", float_precision="round_trip")
    row = points[(points.point == "upo-tiny-1") & (points.objective == "toxicity") & (points.scope == "method")].iloc[0]
    estimated = analysis.points["upo-tiny-1"].method["toxicity"]
    assert (row.value, row.low, row.high, row.n, row.n_missing) == (
        estimated.value,
        estimated.low,
        estimated.high,
        estimated.n,
        estimated.n_missing,
    )


def test_means_are_over_seeds_and_items(records, analysis):
    items = records.items[
        (records.items.objective == "toxicity") & records.items.cell.isin(["upo-tiny-1-s0", "upo-tiny-1-s1"])
    ]
    assert analysis.points["upo-tiny-1"].checkpoints["toxicity"].value == pytest.approx(
        items.groupby("cell").value.mean().mean()
    )


def test_failed_cells_are_told(records, analysis):
    made = tables(analysis)
    assert [row.values[0] for row in made.missing.rows] == ["kto-tiny-s1"]
    assert "loss is NaN" in made.missing.rows[0].values[2]
    said = " ".join(caveats(analysis, {}))
    assert "47 of 48 cells" in said and "one seed only" in said and "Tuning budgets differ" in said
    budget = {b.method: b for b in analysis.budgets}["kto"]
    assert (budget.planned, budget.failed) == (4, 1)


def test_missing_items_are_counted_and_bounded(records, analysis):
    lost = records.items[records.items.value.isna()]
    measured = set(records.objectives.name)
    estimated = [e.n_missing for r in analysis.points.values() for name, e in r.checkpoints.items() if name in measured]
    assert sum(estimated) == len(lost) > 0
    for result in analysis.points.values():
        for name, (low, high) in result.if_missing.items():
            assert low < result.checkpoints[name].value < high


def test_one_seed_speaks_of_checkpoints_only():
    analysis = analyse(small(seeds=[0]), DRAWS)
    assert all(estimate is None for result in analysis.points.values() for estimate in result.method.values())
    assert {comparison.scope for comparison in analysis.comparisons} == {"checkpoints"}
    assert any("cannot be estimated" in text for text in caveats(analysis, {}))


@pytest.mark.parametrize(
    "options",
    [
        {"prompts": 1},
        {"prompts": 1, "seeds": [0]},
        {"prompts": 2, "seeds": [0]},
        {"with_truth": False, "with_generations": False},
        {"methods": [MadeMethod("dpo", 0.05)]},
        {"trials": 3},
        {"objectives": synthetic.OBJECTIVES[:2]},
        {"objectives": synthetic.OBJECTIVES[:1]},
    ],
)
def test_edges_still_give_a_report(options):
    analysis = analyse(small(**options), 20)
    made = tables(analysis)
    assert "Measured" in html.render(analysis, made, {})
    assert "Measured" in markdown.render(analysis, made, {})
    assert all(latex.render(table).endswith("\\end{tabular}\n") for table in made)


def test_a_run_without_a_single_result_says_so(tmp_path):
    records = small(failed=tuple(small().cells.cell))
    page = build(synthetic.write(tmp_path, records), resamples=20)
    text = page.read_text()
    assert "Measured 0 of" in text and "Nothing was measured" in text


def test_figures_without_items_and_one_seed_prove_nothing():
    """One closed-form value per cell and one seed: numbers differ, but nothing says how surely."""
    records = small(seeds=[0])
    bare = Records(**{**vars(records), "items": records.items.iloc[:0]})
    analysis = analyse(bare, 50)
    assert {c.verdict for c in analysis.hypervolumes} == {c.verdict for c in analysis.comparisons} == {"not comparable"}
    for result in analysis.methods:
        assert all(estimate.low is None for estimate in result.hypervolume.values())
    said = " ".join(finding.text for finding in findings(analysis))
    assert "its uncertainty cannot be estimated" in said and "not separable" not in said


def test_all_points_equal_are_all_on_the_frontier_and_not_separable():
    records = small(seeds=[0])
    records.items["value"] = 0.5
    analysis = analyse(records, 50)
    assert all(result.on_frontier and result.membership is None for result in analysis.points.values())
    assert {comparison.verdict for comparison in analysis.comparisons} == {"not separable"}
    assert {comparison.verdict for comparison in analysis.hypervolumes} == {"not separable"}
    for result in analysis.methods:
        assert result.probability_largest is None
        assert all(estimate.se is None for estimate in result.hypervolume.values())


def test_sampled_objectives_are_held_against_their_closed_forms():
    """Win rates are not: every policy meets the same sampled references, and their luck is no sampling of the policy."""

    def agreement(records):
        (said,) = (
            finding.text for finding in findings(analyse(records, 50)) if "closed-form expectations" in finding.text
        )
        assert said.startswith("Sampled estimates of toxicity and readability against")
        inside, total = re.search(r"(\d+) of (\d+) intervals", said).groups()
        return int(inside), int(total)

    records = small(trials=4)
    points = records.cells[records.cells.status == "ok"].point.nunique()
    for name in ("toxicity", "readability"):  # the closed form is the mean of what was drawn
        drawn = records.items[records.items.objective == name].groupby("cell").value.mean()
        rows = (records.measures.group == "exact") & (records.measures.name == name)
        records.measures.loc[rows, "value"] = records.measures.cell[rows].map(drawn)
    assert agreement(records) == (2 * points, 2 * points)
    records.items.loc[records.items.objective == "win_rate", "value"] = 0.0
    assert agreement(records) == (2 * points, 2 * points)
    records.measures.loc[(records.measures.group == "exact") & (records.measures.name == "toxicity"), "value"] += 0.5
    assert agreement(records) == (points, 2 * points)


def test_no_reference_point_means_no_hypervolume():
    bare = [Objective(**{**vars(o), "reference_point": None}) for o in synthetic.OBJECTIVES]
    analysis = analyse(small(objectives=bare), 50)
    assert not any(result.hypervolume for result in analysis.methods)
    assert any("states no reference point for win_rate" in text for text in caveats(analysis, {}))
    assert findings(analysis)


def test_costs_and_measures_can_be_objectives():
    cost = Objective("train_seconds", "Training time", "minimize", "seconds", (0.0, np.inf), "cost")
    controlled = Objective(
        "win_rate_length_controlled", "LC win rate", "maximize", "probability", (0.0, 1.0), "benchmark"
    )
    records = small()
    objectives = Records.build(objectives=[*synthetic.OBJECTIVES, cost, controlled]).objectives
    estimated = analyse(Records(**{**vars(records), "objectives": objectives}), 50).points["dpo-tiny"]
    assert estimated.checkpoints["train_seconds"].value == 12.5
    with_cost = analyse(Records(**{**vars(records), "objectives": objectives}), 50)
    assert ("win_rate", "train_seconds") in {(panel.y.name, panel.x.name) for panel in with_cost.panels}
    assert {o.name for o in with_cost.objectives} == {"win_rate", "toxicity", "readability"}
    expected = records.measures[
        (records.measures.name == controlled.name) & records.measures.cell.str.startswith("dpo-tiny")
    ].value
    assert estimated.checkpoints[controlled.name].value == pytest.approx(expected.mean())


def test_the_gap_to_the_truth_is_the_measured_one(analysis):
    gaps = {result.method: result.gap.value for result in analysis.of("tiny")}
    assert gaps == pytest.approx(
        {"sft": 0.18, "dpo": 0.05, "kto": 0.07, "upo": 0.01, "modpo": 0.03, "kto_sft": 0.08}, abs=0.005
    )
    measures = analysis.study.records.measures
    rows = measures[(measures.name == "gap") & measures.cell.str.startswith("dpo-tiny")]
    assert gaps["dpo"] == pytest.approx(rows.value.mean())


def test_the_better_method_is_found():
    """With many prompts the data can tell what the truth says: UPO > MODPO > SFT."""
    analysis = analyse(synthetic.make(sizes=["small"], prompts=400, seed_sd=0.002, with_generations=False), DRAWS)
    volumes = {
        result.method: result.hypervolume["win_rate", "toxicity", "readability"].value for result in analysis.methods
    }
    assert max(volumes, key=volumes.get) == "upo" and min(volumes, key=volumes.get) == "sft"
    verdicts = {(c.first, c.second): c.verdict for c in analysis.hypervolumes}
    assert verdicts["sft", "upo"] == "worse" and verdicts["modpo", "upo"] == "worse"


def test_sentences_are_those_of_the_comparisons():
    methods = [MadeMethod("good", 0.0, (0.15,)), MadeMethod("bad", 0.15, (0.15,)), MadeMethod("twin", 0.0, (0.15,))]
    records = synthetic.make(
        methods=methods, sizes=["small"], seeds=range(4), prompts=400, seed_sd=0.002, with_generations=False
    )
    analysis = analyse(records, DRAWS)
    said = " ".join(finding.text for finding in findings(analysis))
    assert "covers the largest hypervolume" in said and "better than BAD" in said and "not separable from" in said
    assert "is better than BAD w=0.15 on every objective." in said
    for comparison in analysis.comparisons:
        if comparison.verdict in ("better", "worse"):
            assert comparison.p < 0.05 and comparison.difference.low * comparison.difference.high > 0
        if comparison.dominates == 1.0:
            same = [
                c.verdict for c in analysis.comparisons if (c.first, c.second) == (comparison.first, comparison.second)
            ]
            assert "worse" not in same


def test_sentences_name_what_they_compare():
    """One method lacks a seed and one has fewer settings: the sentences say so, and claim nothing of it."""
    records = synthetic.make(METHODS[1:4], ["tiny"], prompts=40, failed=("kto-tiny-s1",), missing=0.05)
    analysis = analyse(records, DRAWS)
    said = [finding.text for finding in findings(analysis)]
    assert "covers the largest hypervolume of 1 setting each" in said[0]
    assert "no verdict on KTO (measured with other seeds)" in said[1]
    assert [rank.method for rank in analysis.gaps][-1] == "kto" and analysis.gaps[-1].tied is None
    notes = " ".join(caveats(analysis, {}))
    assert "verdicts on single objectives hold" in notes and "Hypervolumes are of the items with values" in notes


def test_a_disagreement_is_shown_on_the_objective_where_the_seeds_are_apart(analysis):
    point = next(iter(analysis.points.values()))
    apart = {"win_rate": (0.6, 0.61), "toxicity": (0.1, 0.5), "readability": (0.5, 0.5)}
    changed = replace(analysis, points=analysis.points | {point.point.id: replace(point, disagree=apart)})
    assert "(toxicity 0.100 and 0.500)" in " ".join(caveats(changed, {}))


def test_the_true_frontier_of_a_plane_is_concave(analysis):
    for panel in analysis.panels:
        for line in panel.truth.values():
            better = line * [1 if objective.direction == "maximize" else -1 for objective in (panel.x, panel.y)]
            better = better[np.argsort(better[:, 0])]
            slopes = np.diff(better[:, 1]) / np.diff(better[:, 0])
            assert len(line) > 2 and (np.diff(slopes) < 0).all() and (slopes < 0).all()


def test_equal_budget_ends_at_the_whole_set(analysis):
    for result in analysis.methods:
        values = list(result.equal_budget)
        assert values == sorted(values)
        assert values[-1] == pytest.approx(result.hypervolume["win_rate", "toxicity", "readability"].value)


def test_broken_input_is_named(tmp_path):
    folder = synthetic.write(tmp_path, small())
    (folder / "manifest.json").write_text("{")
    with pytest.raises(ValueError, match=r"manifest\.json is not JSON"):
        build(folder)
    (folder / "records" / "truth.parquet").unlink()
    with pytest.raises(FileNotFoundError, match=r"truth\.parquet"):
        build(folder)
    records = small()
    doubled = Records(**{**vars(records), "items": pd.concat([records.items, records.items.head(1)])})
    with pytest.raises(ValueError, match="is there twice"):
        analyse(doubled, 10)


def test_a_run_without_a_manifest_has_a_report(tmp_path):
    small().write(tmp_path / "records")
    assert build(tmp_path, resamples=20).is_file()


def test_judge_money_is_shown_where_there_is_any_and_may_be_an_axis():
    records = synthetic.make(methods=METHODS[2:4], sizes=["tiny"], prompts=10, with_generations=False)
    titles = [column.title for column in tables(analyse(records, 50)).points.columns]
    assert "Judge cost" not in titles
    money = COSTS["judge_cost"]
    paid = replace(
        records,
        cells=records.cells.assign(judge_cost=0.25),
        objectives=to_frame([*synthetic.OBJECTIVES, replace(money, reference_point=1.0)], Objective),
    )
    estimated = analyse(paid, 50)
    assert "Judge cost" in [column.title for column in tables(estimated).points.columns]
    assert {"judge_cost"} <= {panel.x.name for panel in estimated.panels}
    older = replace(records, cells=records.cells.drop(columns="judge_cost"))
    assert analyse(older, 50).costs["upo-tiny-1"]["judge_cost"] == 0.0


def test_where_no_method_has_a_hypervolume_none_is_called_the_largest():
    """Every point is worse than the reference point on one objective."""
    strict = tuple(
        replace(objective, reference_point=reference)
        for objective, reference in zip(synthetic.OBJECTIVES[:2], (0.99, 0.01), strict=True)
    )
    records = synthetic.make(objectives=strict, sizes=("tiny",), prompts=10, with_truth=False, with_generations=False)
    said = [finding.text for finding in findings(analyse(records, 20)) if finding.headline]
    assert said[0].startswith("No method covers any hypervolume") and not any("largest" in text for text in said)
