"""The users' reward of every response, in nats: the world's own, or a reward model's.

Differences between responses to one prompt are Bradley-Terry log-odds, whoever the judge is. In the oracle world a
text off the grammar has the reward of the worst answer to its prompt.
"""

from __future__ import annotations

import pandas as pd

from harness.inputs.sample_rewards import user_reward
from harness.store.preferences import response_table


def run(parameters, inputs, out, progress=None) -> None:
    table = response_table(inputs["data"])
    given = table.dropna(subset="text")
    user = user_reward(parameters, inputs, inputs["world"], parameters["device"])
    rewards = user(list(given.prompt), list(given.text))
    table["reward"] = pd.Series(rewards, index=given.index)
    table[["id", "response", "reward"]].to_parquet(out / "rewards.parquet", index=False)
