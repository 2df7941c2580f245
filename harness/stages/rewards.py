"""Every designer objective on every response of a folder, once, in one table that all methods share.

Text off the grammar of the oracle world has the worst value, as it has wherever policies are measured.
"""

from __future__ import annotations

import pandas as pd

from harness.inputs.designer_rewards import designer_values, objective_of
from harness.inputs.world import world_of
from harness.store.preferences import response_table
from suites.objectives import training_rewards


def run(parameters, inputs, out, progress=None) -> None:
    table = response_table(inputs["data"])
    given = table.dropna(subset="text")
    rewards = table[["id", "response"]].copy()
    toxicity = inputs.get("toxicity") or parameters.get("toxicity_model")
    for name, declared in parameters["objectives"].items():
        values = designer_values(declared, given.text.tolist(), toxicity, parameters["device"])
        rewards[name] = pd.Series(training_rewards(objective_of(name, declared), values), index=given.index)
    if world := world_of(inputs.get("world", inputs["data"])):
        babble = [world.parse(p, text) is None for p, text in zip(given.prompt, given.text, strict=True)]
        rewards.loc[given.index[babble], list(parameters["objectives"])] = 0.0
    rewards.to_parquet(out / "rewards.parquet", index=False)
