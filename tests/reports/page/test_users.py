"""Report of a run with users: regret against context size, steering matrices and the table of costs."""

from __future__ import annotations

import re

import numpy as np
import pytest

from harness.costs import COSTS
from harness.records import Cell, ItemScore, Measure, Objective, Records
from reports.analysis import analyse
from reports.build import build
from reports.page.palette import styles
from reports.page.tables.users import users
from reports.page.users import heat_maps, regret_chart
from tests.reports.conftest import DRAWS

USERS = ("unseen-00", "unseen-01", "unseen-02", "unseen-03")
SIZES = (0, 4, 16)
OBJECTIVES = (
    Objective("user_value", "Value for a user", "maximize", "probability", (0.0, 1.0), "user", 0.0),
    Objective("user_regret", "Regret for a user", "minimize", "nats", (0.0, float("inf")), "descriptive"),
    Objective("user_bayes_regret", "Bayes", "minimize", "nats", (0.0, float("inf")), "descriptive"),
    COSTS["decode_tokens"].__class__(
        "decode_tokens", "Tokens", "minimize", "tokens", (0.0, float("inf")), "cost", 500.0
    ),
)


def cell_rows(method: str, context: int | None, regret: float, seed: int):
    """A cell with four users around a mean regret, a matrix that steers with the context, and its costs."""
    name = f"{method}-{context}-{seed}"
    cell = Cell(
        name, f"{method}-{context}", method, method if context is None else f"{method} context={context}", "tiny", seed, {},
        None if context is None else "context", context, decode_tokens=30.0 * (1 + (context or 0)), adaptation_seconds=0.5,
    )  # fmt: skip
    items, bayes = [], 0.4 / (1 + (context or 0) / 4)
    for number, user in enumerate(USERS):
        spread = 0.02 * (number - 1.5) + 0.001 * seed
        values = {
            "user_value": 0.8 - regret + spread,
            "user_regret": regret + spread,
            "user_bayes_regret": bayes + spread,
        }
        items += [ItemScore(objective, user, user, value, cell=name) for objective, value in values.items()]
    steering = 0.1 * (context or 0) / 16
    measures = [
        Measure("steering matrix", f"{given} > {judge}", 0.5 + steering * (given == judge), name)
        for given in USERS
        for judge in USERS
    ]
    figures = {"worst_user_value": 0.7 - regret, "bayes_effective_draws": 4321.0, "contradicting_pairs": 2.0}
    measures += [Measure("users", key, value, name) for key, value in figures.items()]
    return cell, items, measures


@pytest.fixture(scope="module")
def records() -> Records:
    made = [cell_rows("pooled", None, 0.5, seed) for seed in (0, 1)]
    made += [cell_rows("mod", context, 0.45 / (1 + context / 8), seed) for context in SIZES for seed in (0, 1)]
    return Records.build(
        objectives=OBJECTIVES,
        cells=[cell for cell, _, _ in made],
        items=[item for _, items, _ in made for item in items],
        measures=[measure for _, _, measures in made for measure in measures],
    )


@pytest.fixture(scope="module")
def analysis(records):
    return analyse(records, DRAWS)


def test_the_table_has_a_row_for_each_point_with_its_worst_user_and_costs(analysis):
    table = users(analysis)
    rows = {(row.method, row.values[1]): row.values for row in table.rows}
    assert set(rows) == {("pooled", None), *(("mod", size) for size in SIZES)}
    value, worst, regret, bayes = rows["mod", 16][2:6]
    assert value.value == pytest.approx(0.8 - 0.15, abs=1e-3) and worst == pytest.approx(0.7 - 0.15)
    assert regret.value == pytest.approx(0.15, abs=1e-3) and bayes.value == pytest.approx(0.08, abs=1e-3)
    assert regret.low < regret.value < regret.high
    assert rows["mod", 16][-2:] == (510.0, 0.5)
    assert "4,321 effective draws" in table.note and "2 pairs" in table.note


def test_the_chart_has_the_bayes_curve_and_a_line_for_each_method(analysis):
    drawing = regret_chart(analysis, "tiny", styles(analysis.study.methods))
    lines = re.findall(r'<path class="(bayes|curve)"(?: stroke-dasharray="[\d ]+")? d="M([^"]+)"', drawing)
    heights = {kind: [float(point.split()[1]) for point in path.split("L")] for kind, path in lines[:1]}
    assert [kind for kind, _ in lines] == ["bayes", "curve", "curve"]
    assert heights["bayes"] == sorted(heights["bayes"])  # lower regret lies lower on the page
    assert drawing.count("whisker") == len(SIZES)
    assert all(f">{name}</text>" in drawing for name in ("Bayes", "pooled", "mod"))


def test_a_heat_map_shows_methods_that_steer_at_their_largest_context(analysis):
    maps = dict(heat_maps(analysis, "tiny"))
    assert list(maps) == ["mod"]
    opacities = [float(text) for text in re.findall(r'heat-cell own".*?fill-opacity="([\d.]+)"', maps["mod"])]
    others = [float(text) for text in re.findall(r'heat-cell" .*?fill-opacity="([\d.]+)"', maps["mod"])]
    assert len(opacities) == 4 and len(others) == 12 and min(opacities) > max(others)
    np.testing.assert_allclose(opacities, 0.96)


def test_the_page_has_the_section_and_no_table_of_the_matrix(records, tmp_path):
    records.write(tmp_path / "records")
    page = build(tmp_path, resamples=DRAWS).read_text(encoding="utf-8")
    assert 'id="users"' in page and "Steering matrices" in page and "unseen-00 &gt; unseen-01" not in page
    assert (tmp_path / "report" / "tables" / "users.csv").is_file()


def test_a_run_without_users_has_no_section():
    from tests.reports import synthetic

    made = analyse(synthetic.make(sizes=["tiny"], prompts=12, with_generations=False), DRAWS)
    assert users(made) is None and regret_chart(made, "tiny", styles(made.study.methods)) == ""
