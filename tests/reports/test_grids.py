"""Records as arrays: means and counts of every prompt, and cells that are unlike the majority."""

from __future__ import annotations

import numpy as np
import pytest

from harness.records import Cell, ItemScore, Objective, Records, Status
from reports.grids import study

TOXICITY = Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0))


def records(cells) -> Records:
    """Cells with their items: (prompt, value or None, detail) each."""
    rows = [
        ItemScore("toxicity", f"{prompt}#{i}", prompt, value, Status.OK if value is not None else Status.ERROR,
                  detail=detail, cell=name)
        for name, items in cells.items()
        for i, (prompt, value, detail) in enumerate(items)
    ]  # fmt: skip
    return Records.build(
        objectives=[TOXICITY], cells=[Cell(name, name, name, name, "tiny", 0, {}) for name in cells], items=rows
    )


def test_a_grid_has_sums_counts_and_missing_items_of_every_prompt():
    grid = study(
        records({"a": [("p", 0.2, {}), ("p", 0.4, {}), ("q", None, {})], "b": [("q", 0.5, {}), ("p", 0.1, {})]})
    ).grids["toxicity"]
    assert (grid.cells, grid.clusters, grid.excluded) == (("a", "b"), ("p", "q"), {})
    assert grid.total == pytest.approx(np.array([[0.6, 0.0], [0.1, 0.5]]))
    assert grid.count.tolist() == [[2, 0], [1, 1]] and grid.missing.tolist() == [[0, 1], [0, 0]]
    assert grid.mean == pytest.approx([0.3, 0.3])


def test_a_prompts_influence_is_the_slope_of_a_mean_in_its_weight_times_the_number_of_prompts():
    grid = study(records({"a": [("p", 0.2, {}), ("p", 0.4, {}), ("q", 0.9, {})]})).grids["toxicity"]
    step = 1e-6
    slopes = [
        (
            (grid.total[0] @ weight) / (grid.count[0] @ weight) - grid.mean[0]
        ) / step
        for weight in np.ones(2) + step * np.eye(2)
    ]  # fmt: skip
    assert grid.influence([0])[0] == pytest.approx(2 * np.array(slopes), abs=1e-5)


@pytest.mark.parametrize("first", ["other prompts", "another judge"])
def test_the_cell_that_differs_from_the_majority_is_left_out_wherever_it_stands(first):
    usual = [("p", 0.2, {"judge": "one"}), ("q", 0.4, {"judge": "one"})]
    odd = {
        "other prompts": [("p", 0.2, {"judge": "one"}), ("r", 0.4, {"judge": "one"})],
        "another judge": [(prompt, value, {"judge": "two"}) for prompt, value, _ in usual],
    }[first]
    for order in ("abc", "bca", "cab"):
        cells = {name: odd if name == "a" else usual for name in order}
        assert set(study(records(cells)).grids["toxicity"].excluded) == {"a"}


def test_a_cell_without_any_value_is_left_out():
    grid = study(records({"a": [("p", None, {})], "b": [("p", 0.5, {})]})).grids["toxicity"]
    assert grid.excluded == {"a": "none of its items has a value"}
