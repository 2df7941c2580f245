"""Unused rows of the data, counted by reason in the records."""

from __future__ import annotations

import json

from harness.plan.stage import Stage
from harness.run.assemble import LEFT_OUT, _quality
from harness.store.store import Store


def test_rows_left_out_are_figures_of_the_run(tmp_path):
    store = Store(tmp_path)
    stage = Stage("pairs", "pairs from a file", {"pairs": 3})
    dropped = {"not UTF-8": 2, "'chosen' is not text": 1}
    with store.writing(stage.key, {}) as folder:
        (folder / "counts.json").write_text(json.dumps({"test": 1, "dropped": dropped}))
    figures = _quality(stage, store)
    assert {(figure.group, figure.name): figure.value for figure in figures} == {
        (LEFT_OUT, why): count for why, count in dropped.items()
    }
