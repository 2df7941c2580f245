"""The users' reward of every response, in nats: the world's own, or a reward model's.

Differences between responses to one prompt are Bradley-Terry log-odds, whoever the judge is. In the oracle world a
text off the grammar has the reward of the worst answer to its prompt.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from harness.files import CHECKPOINT, oracle_world, response_table
from suites.judges.reward_model import RewardModelJudge
from suites.oracle.world import World


def run(parameters, inputs, out, progress=None) -> None:
    table = response_table(inputs["data"])
    given = table.dropna(subset="text")
    if parameters["judge"] == "oracle":
        rewards = world_rewards(oracle_world(inputs["world"]), given.prompt, given.text)
    else:
        judge = RewardModelJudge(inputs["judge"] / CHECKPOINT if "judge" in inputs else parameters["model"])
        rewards = judge.rewards([prompt + text for prompt, text in zip(given.prompt, given.text, strict=True)])
    table["reward"] = pd.Series(rewards, index=given.index)
    table[["id", "response", "reward"]].to_parquet(out / "rewards.parquet", index=False)


def world_rewards(world: World, prompts: Sequence[str], texts: Sequence[str]) -> list[float]:
    """The preference reward of each response of the oracle world."""
    rows = [world.index(prompt) for prompt in prompts]
    columns = [world.parse(prompt, text) for prompt, text in zip(prompts, texts, strict=True)]
    return [
        float(world.reward[row].min() if column is None else world.reward[row, column])
        for row, column in zip(rows, columns, strict=True)
    ]
