"""Clusters in the records: one for rows of equal prompts, one for each other row."""

from __future__ import annotations

import pandas as pd

from harness.records import Generation, ItemScore, to_frame
from harness.run.assemble import _one_cluster_per_prompt

PROMPTS = {"a": "Why?", "b": "How?", "c": "Why?", "d": "Why? ", "e": "How?"}


def table(kind, cell, **fields):
    rows = [
        kind(item=f"{key}#{trial}", cluster=key, trial=trial, cell=cell, **fields)
        for key in PROMPTS
        for trial in (0, 1)
    ]
    return to_frame(rows, kind)


def test_equal_prompts_are_one_cluster_in_every_cell_and_benchmark_questions_stay():
    generations = pd.concat(
        [to_frame([Generation(f"{k}#0", k, text, "r", 1, cell=cell) for k, text in PROMPTS.items()], Generation)
         for cell in ("x", "y")]
    )  # fmt: skip
    items = pd.concat([table(ItemScore, cell, objective="length", value=1.0) for cell in ("y", "x")])
    items = pd.concat([items, to_frame([ItemScore("gsm8k", "gsm8k/0", "gsm8k/0", 1.0, cell="x")], ItemScore)])
    merged = _one_cluster_per_prompt(items, generations)
    assert dict(zip(merged["item"], merged.cluster, strict=True)) == {
        **{f"{key}#{trial}": {"c": "a", "e": "b"}.get(key, key) for key in PROMPTS for trial in (0, 1)},
        "gsm8k/0": "gsm8k/0",
    }
    pd.testing.assert_frame_equal(merged.drop(columns="cluster"), items.drop(columns="cluster"))
    assert merged.cluster.nunique() == 4 and len(merged) == len(items)  # both counts remain


def test_distinct_prompts_change_nothing():
    generations = to_frame([Generation(f"p{i}#0", f"p{i}", f"Q{i}", "r", 1, cell="x") for i in range(9)], Generation)
    pd.testing.assert_frame_equal(_one_cluster_per_prompt(generations, generations), generations)
    assert _one_cluster_per_prompt(generations[:0], generations[:0]).empty
