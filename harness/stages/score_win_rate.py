"""Preference win rate against the reference responses, through alpaca-eval."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

from harness.inputs.reward_models import reward_model
from harness.inputs.world import oracle_world
from harness.store.jsonl import read_jsonl
from harness.store.tables import read_generations, write_scores
from suites.alpaca.win_rate import WIN_RATE, WIN_RATE_SECOND, win_rate
from suites.generation.huggingface import readable
from suites.judges.endpoint import Endpoint, EndpointJudge, Price
from suites.judges.language_model import LanguageModelJudge
from suites.judges.protocol import Judge
from suites.judges.templates import load_template
from suites.oracle.judge import OracleJudge


def run(parameters, inputs, out, progress=None) -> None:
    rows = {row["id"]: row for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    generations = read_generations(inputs["generations"])
    if "judge" not in inputs:
        # Only a judge that was trained here has learned how the policy's chat template writes a conversation.
        generations = [replace(g, prompt=readable(rows[g.cluster]["prompt"])) for g in generations]
    with ExitStack() as stack:
        judge = JUDGES[parameters["judge"]](parameters, inputs, stack)
        result = win_rate(
            generations,
            {key: row["reference"] for key, row in rows.items()},
            judge,
            again=judge.again() if isinstance(judge, EndpointJudge) else None,
            objective={o.name: o for o in (WIN_RATE, WIN_RATE_SECOND)}[parameters["objective"]],
            note_judge=parameters["model"] is not None,
        )
    write_scores(out, result.items, result.measures)


def _oracle(parameters, inputs, stack) -> OracleJudge:
    return OracleJudge(oracle_world(inputs["data"]))


def _reward_model(parameters, inputs, stack) -> Judge:
    return reward_model(parameters, inputs, parameters["device"])


def _local_lm(parameters, inputs, stack) -> LanguageModelJudge:
    model, template = inputs.get("model", parameters["model"]), load_template(parameters["prompt"])
    judge = LanguageModelJudge.load(model, template, parameters["backend"], parameters["device"])
    stack.callback(judge.close)
    return judge


def _endpoint(parameters, inputs, stack) -> EndpointJudge:
    limits = dict(parameters["limits"])
    price = Price(**limits.pop("price", {}))
    endpoint = Endpoint(**parameters["endpoint"], **limits, price=price)
    return EndpointJudge(parameters["model"], endpoint, load_template(parameters["prompt"]), inputs["judgements"])


JUDGES = {"oracle": _oracle, "reward_model": _reward_model, "local_lm": _local_lm, "endpoint": _endpoint}
