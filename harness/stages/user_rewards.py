"""The users' reward of every response, in nats: the world's own, or a reward model's.

Differences between responses to one prompt are Bradley-Terry log-odds, whoever the judge is. In the oracle world a
text off the grammar has the reward of the worst answer to its prompt.
"""

from __future__ import annotations

import pandas as pd

from harness.files import CHECKPOINT, oracle_world, response_table
from harness.sample_rewards import oracle_reward
from suites.judges.reward_model import RewardModelJudge


def run(parameters, inputs, out, progress=None) -> None:
    table = response_table(inputs["data"])
    given = table.dropna(subset="text")
    if parameters["judge"] == "oracle":
        rewards = oracle_reward(oracle_world(inputs["world"]))(list(given.prompt), list(given.text))
    else:
        judge = RewardModelJudge(inputs["judge"] / CHECKPOINT if "judge" in inputs else parameters["model"])
        rewards = judge.rewards([prompt + text for prompt, text in zip(given.prompt, given.text, strict=True)])
    table["reward"] = pd.Series(rewards, index=given.index)
    table[["id", "response", "reward"]].to_parquet(out / "rewards.parquet", index=False)
