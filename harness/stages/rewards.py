"""Stage ``rewards``: designer objectives of every response of a folder, in one table that all methods share.

Text off the grammar of the oracle world has the worst value, as in every score.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.inputs.designer_rewards import Scorers, column_values, designer_values, objective_of
from harness.inputs.world import world_of
from harness.store.preferences import response_table
from suites.objectives import training_rewards
from trainers.tokens.dialogue import content_of, readable

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    table = response_table(inputs["data"])
    complete = table.dropna(subset="text")
    rewards = table[["id", "response"]].copy()
    scorers = Scorers.of_stage(parameters, inputs, parameters["device"])
    prompts = [readable(prompt) for prompt in complete.prompt]
    texts = [content_of(text) for text in complete.text]
    for name, declared in parameters["objectives"].items():
        if "column" in declared:
            values = column_values(name, declared, list(complete.scores))
        else:
            values = designer_values(name, declared, prompts, texts, scorers)
        rewards[name] = pd.Series(training_rewards(objective_of(name, declared), values), index=complete.index)
    if world := world_of(inputs.get("world", inputs["data"])):
        pairs = zip(complete.prompt, texts, strict=True)
        off_grammar = [world.parse(prompt, text) is None for prompt, text in pairs]
        rewards.loc[complete.index[off_grammar], list(parameters["objectives"])] = 0.0
    rewards.to_parquet(out / "rewards.parquet", index=False)
