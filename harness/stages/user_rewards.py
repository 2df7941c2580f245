"""Stage ``user_rewards``: the users' reward of every response, in nats.

Differences between responses to one prompt are Bradley-Terry log-odds, whoever the judge is. In the oracle world a
text off the grammar has the reward of the worst answer to its prompt.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from harness.inputs.sample_rewards import user_reward
from harness.store.preferences import response_table
from trainers.tokens.dialogue import content_of

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    table = response_table(inputs["data"])
    complete = table.dropna(subset="text")
    user = user_reward(parameters, inputs, inputs["world"], parameters["device"])
    rewards = user(list(complete.prompt), [content_of(text) for text in complete.text])
    table["reward"] = pd.Series(rewards, index=complete.index)
    table[["id", "response", "reward"]].to_parquet(out / "rewards.parquet", index=False)
