"""Preference win rate against the reference responses, through alpaca-eval."""

from __future__ import annotations

from harness.files import CHECKPOINT, oracle_world, read_generations, read_jsonl, write_scores
from suites.judges.reward_model import RewardModelJudge
from suites.oracle.judge import OracleJudge
from suites.win_rate import win_rate


def run(parameters, inputs, out, progress=None) -> None:
    references = {row["id"]: row["reference"] for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    if parameters["judge"] == "oracle":
        judge = OracleJudge(oracle_world(inputs["data"]))
    else:
        judge = RewardModelJudge(inputs["judge"] / CHECKPOINT if "judge" in inputs else parameters["model"])
    result = win_rate(read_generations(inputs["generations"]), references, judge)
    write_scores(out, result.items, result.measures)
