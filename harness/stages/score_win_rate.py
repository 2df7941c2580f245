"""Stage ``score_win_rate``: preference win rate against the reference responses, through alpaca-eval."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.inputs.generate import conversations
from harness.inputs.judges import InConversation, judge_kind, judge_setup
from harness.store.jsonl import read_jsonl
from harness.store.tables import read_generations, write_scores
from suites.alpaca.win_rate import WIN_RATE, WIN_RATE_SECOND, win_rate
from suites.judges.protocol import Closable, Judge, Repeatable
from trainers.tokens.dialogue import readable

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress

OBJECTIVES = {objective.name: objective for objective in (WIN_RATE, WIN_RATE_SECOND)}


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    rows = {row["id"]: row for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    generations = read_generations(inputs["generations"])
    asked = conversations(rows.values(), generations)
    generations = [replace(g, prompt=readable(asked[g.item])) for g in generations]
    kind = judge_kind(parameters)
    with ExitStack() as stack:
        judge: Judge = kind.load(judge_setup(parameters, inputs, inputs["data"], parameters["device"]))
        if isinstance(judge, Closable):
            stack.callback(judge.close)
        if kind.reward is not None:
            judge = InConversation(judge, {readable(prompt): prompt for prompt in asked.values()})
        result = win_rate(
            generations,
            {key: row["reference"] for key, row in rows.items()},
            judge,
            again=judge.again() if isinstance(judge, Repeatable) else None,
            objective=OBJECTIVES[parameters["objective"]],
            note_judge=parameters["model"] is not None,
        )
    write_scores(out, result.items, result.measures)
