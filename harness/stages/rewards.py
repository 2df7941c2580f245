"""Every designer objective on every dataset response, once, in one table that all methods share."""

from __future__ import annotations

import pandas as pd

from harness.files import read_jsonl
from harness.measuring import designer_values
from suites.objectives import OBJECTIVES, training_rewards


def run(parameters, inputs, out, progress=None) -> None:
    pairs = read_jsonl(inputs["data"] / "pairs.jsonl")
    texts = [pair[side] for side in ("chosen", "rejected") for pair in pairs]
    table = pd.DataFrame(
        {
            "id": [pair["id"] for pair in pairs] * 2,
            "response": ["chosen"] * len(pairs) + ["rejected"] * len(pairs),
        }
    )
    for name in parameters["objectives"]:
        values = designer_values(name, texts, inputs.get("toxicity") or parameters.get("toxicity_model"))
        table[name] = training_rewards(OBJECTIVES[name], values)
    table.to_parquet(out / "rewards.parquet", index=False)
