"""A small seeded version of `tests.performance.calibration`: coverage of intervals and false verdicts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from tests.paths import ROOT
from tests.performance.calibration.replications import (
    choice_replication,
    gap_replication,
    length_control_coverage,
    power,
    replication,
)
from tests.performance.calibration.tables import summary, tables
from tests.performance.worlds import World, worlds

DRAWS = 60


def shares(world: World, replications: int) -> dict[str, float]:
    """What the calibration counts, by name, from a few replications."""
    rows = [
        ("world", index, figure, total, count)
        for index in range(replications)
        for figure, (total, count) in replication(world, index, DRAWS).items()
    ]
    frame = summary(pd.DataFrame(rows, columns=["world", "index", "figure", "sum", "count"]))
    return dict(zip(frame.figure, frame.value, strict=True))


@pytest.mark.parametrize("name", ["equal noise, 2 seeds", "one seed"])
def test_intervals_contain_the_truth(name):
    """Of 24 worlds with 24 intervals each a share of 0.95 is seen above 0.87 (intervals of one world covary)."""
    found = shares(replace(worlds()[name], prompts=50), 24)
    assert found["checkpoints covered"] >= 0.87 and found["hypervolume difference covered"] >= 0.87
    assert ("method covered, calm" in found) == (name != "one seed")
    assert name == "one seed" or found["method covered, calm"] >= 0.87
    assert found["word and interval disagree"] == 0 and found["interval leaves the possible"] == 0


def test_nothing_is_found_where_there_is_nothing():
    """0.05 of 30 null worlds may raise an alarm in each family; 0.21 would be four standard errors more."""
    null = worlds()["null, 2 seeds"]
    found = shares(replace(null, means=null.means[:3, :2], gaps=null.gaps[:3, :2], prompts=50), 30)
    for family in ("hypervolume", "points"):
        assert found[f"false verdict, {family}"] <= 0.21, family
    assert found["a best point not bold"] <= 0.21


@pytest.mark.parametrize("name", ["null, 2 seeds", "null, 5 seeds"])
def test_gaps_are_covered_and_of_equal_methods_none_is_worse(name):
    """50 worlds of seven methods: intervals of one world covary; 0.90 is more than three standard errors below 0.95."""
    world = worlds()[name]
    figures = [gap_replication(world, index) for index in range(50)]
    covered, shown = (sum(each["gap covered"][i] for each in figures if "gap covered" in each) for i in (0, 1))
    assert covered / shown >= 0.9
    assert np.mean([each["false verdict, gap"][0] for each in figures]) <= 0.05 + 4 * 0.031


def test_sweeps_of_unequal_length_raise_no_alarm():
    """One setting against eight that are truly equal; a comparison of whole sweeps is wrong in a quarter of worlds."""
    assert shares(replace(worlds()["unequal sweeps, seed noise"], prompts=50), 30)["false verdict, hypervolume"] <= 0.21


def test_a_chosen_setting_is_not_flattered():
    """Best of eight equal settings, two noisy seeds: +0.025 if the seeds that choose are those that are reported."""
    world = worlds()["choosing, 2 seeds"]
    errors = [choice_replication(world, index)["bias of the chosen"][0] for index in range(200)]
    assert abs(np.mean(errors)) <= 0.013, "four standard errors"


def test_an_unstable_method_has_wide_intervals_or_none():
    found = shares(replace(worlds()["one noisy method, 3 seeds"], prompts=50), 20)
    assert found["method covered or not shown, unstable"] >= 0.85
    assert found["method covered, calm"] >= 0.87 and found["method shown, calm"] >= 0.9


def test_missing_items_do_not_mislead():
    """A tenth of the items missing, those that went badly: means of the others are covered in half of the worlds."""
    found = shares(replace(worlds()["missing where it went badly"], prompts=50), 15)
    assert found["method covered, calm"] >= 0.9


def test_what_is_there_is_found():
    found = power([0.0, 0.3], 40)
    assert found[0.0] <= 0.2 and found[0.3] >= 0.9


def test_length_control_covers():
    assert length_control_coverage(100, prompts=100) >= 0.87


@pytest.mark.parametrize("printed", tables(), ids=lambda table: table.split("|")[3].strip())
def test_the_documented_tables_are_those_of_the_measurements(printed):
    assert printed in (ROOT / "docs" / "statistics.md").read_text(encoding="utf-8")


def test_a_summary_has_the_monte_carlo_error_of_a_ratio():
    """Two replications of 1/2 and 3/4: the mean is 4/6, and the error that of a ratio of sums."""
    frame = pd.DataFrame({"world": "w", "figure": "f", "index": [0, 1], "sum": [1.0, 3.0], "count": [2, 4]})
    row = summary(frame).iloc[0]
    assert (row.value, row.replications) == (pytest.approx(4 / 6), 2)
    assert row.error == pytest.approx(np.hypot(1 - 4 / 6 * 2, 3 - 4 / 6 * 4) / 6)
