"""Cost of served models before a run: judges, rubrics and models that answer the prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from harness.errors import UsageError
from harness.plan.estimate import lengths, pairs_seen, test_prompts
from harness.plan.stage import Stage

ORDERS = 2
CHARACTERS_PER_TOKEN = 4
SIDES = 2
"""Responses of a pair."""


@dataclass(frozen=True)
class Asked:
    """What one stage asks a served model.

    Parameters
    ----------
    key : str
        The part of the experiment that names the endpoint.
    model, base_url : str
    limits : mapping
        Price and cap of the endpoint.
    questions : int
    prompt_tokens, reply_tokens : int
        Of one question, and of its longest reply.
    """

    key: str
    model: str
    base_url: str
    limits: Mapping[str, Any]
    questions: int
    prompt_tokens: int
    reply_tokens: int


@dataclass(frozen=True)
class Bill:
    """Questions to a served model and their cost, by average lengths of prompts and the longest responses and replies."""

    key: str
    model: str
    questions: int
    input_tokens: int
    output_tokens: int
    dollars: float
    cap: float

    def __str__(self) -> str:
        return (
            f"{self.key} {self.model}: {self.questions:,} questions, about {self.input_tokens:,} tokens in and at most "
            f"{self.output_tokens:,} out: ${self.dollars:,.2f} (cap ${self.cap:,.2f})"
        )


def bills(stages: Iterable[Stage]) -> list[Bill]:
    """One bill per part of the experiment, endpoint and model, over all of its stages."""
    parts: dict[tuple[str, str, str], list[Asked]] = {}
    for stage in stages:
        for asked in _asked(stage):
            parts.setdefault((asked.key, asked.base_url, asked.model), []).append(asked)
    return [_bill(of_part) for of_part in parts.values()]


def require_budget(stages: Iterable[Stage]) -> None:
    """Raise `UsageError` if a served model is expected to cost more than its cap."""
    for bill in bills(stages):
        if bill.dollars > bill.cap:
            raise UsageError(f"{bill}; raise {bill.key}.endpoint.max_cost, or ask about fewer prompts or cells")


def _bill(asked: list[Asked]) -> Bill:
    first = asked[0]
    questions = sum(part.questions for part in asked)
    input_tokens = sum(part.questions * part.prompt_tokens for part in asked)
    output_tokens = sum(part.questions * part.reply_tokens for part in asked)
    price = first.limits.get("price", {"input": 0.0, "output": 0.0})
    dollars = (price["input"] * input_tokens + price["output"] * output_tokens) / 1e6
    return Bill(first.key, first.model, questions, input_tokens, output_tokens, dollars, first.limits["max_cost"])


def _asked(stage: Stage) -> Iterator[Asked]:
    if stage.parameters.get("judge") == "endpoint" and "generations" in stage.inputs:
        yield _judge(stage)
    if stage.kind == "generate_endpoint":
        yield _entry(stage)
    if "endpoint" in stage.parameters.get("scorer", {}).get("settings", {}):
        responses, response = _responses(stage)
        name = stage.parameters["objective"]
        yield _rubric(name, stage.parameters["scorer"], stage.settings["limits"], stage, responses, response)
    for name, limits in stage.settings.get("scorer_limits", {}).items():
        responses, response = _rewarded(stage)
        yield _rubric(name, stage.parameters["objectives"][name]["scorer"], limits, stage, responses, response)


def _judge(stage: Stage) -> Asked:
    """Every response in both orders, and some of them a second time."""
    from suites.alpaca.win_rate import REPEATED
    from suites.judges.templates import load_template

    template = load_template(stage.parameters["prompt"])
    prompt, reference = lengths(_data(stage))
    pairs, response = _responses(stage)
    wording = sum(len(content) for _, content in template.messages) // CHARACTERS_PER_TOKEN
    key = "judge.second" if stage.parameters["objective"] == "win_rate_second" else "judge"
    return Asked(
        key,
        stage.parameters["model"],
        stage.parameters["endpoint"]["base_url"],
        stage.settings["limits"],
        ORDERS * pairs + min(pairs, REPEATED),
        wording + prompt + reference + response,
        template.max_tokens,
    )


def _entry(stage: Stage) -> Asked:
    """Every prompt, with the entry's system message."""
    decoding = stage.parameters["decoding"]
    data = _data(stage)
    system = len(stage.parameters["system"] or "") // CHARACTERS_PER_TOKEN
    return Asked(
        f"methods.{stage.settings['entry']}",
        stage.parameters["model"],
        stage.parameters["endpoint"]["base_url"],
        stage.settings["limits"],
        test_prompts(data) * decoding["samples"],
        lengths(data)[0] + system,
        decoding["max_new_tokens"],
    )


def _rubric(
    name: str, scorer: Mapping[str, Any], limits: Mapping[str, Any], stage: Stage, responses: int, response: int
) -> Asked:
    """Every response once, with the rubric's wording."""
    from suites.custom.rubric import INSTRUCTION, Rubric

    settings = scorer["settings"]
    wording = (len(INSTRUCTION) + len(settings["rubric"])) // CHARACTERS_PER_TOKEN
    reply = settings.get("max_tokens", Rubric.max_tokens)
    prompt = lengths(_data(stage))[0]
    return Asked(
        f"objectives.{name}",
        settings["model"],
        settings["endpoint"]["base_url"],
        limits,
        responses,
        wording + prompt + response,
        reply,
    )


def _responses(stage: Stage) -> tuple[int, int]:
    """How many responses to the evaluation prompts a stage sees, and the tokens of one, at most where it is generated."""
    generations, data = stage.inputs["generations"], _data(stage)
    assert isinstance(generations, Stage)
    decoding = generations.parameters.get("decoding", {"samples": 1, "max_new_tokens": lengths(data)[1]})
    return test_prompts(data) * decoding["samples"], decoding["max_new_tokens"]


def _rewarded(stage: Stage) -> tuple[int, int]:
    """How many responses a stage needs rewards of: those of the pairs, or a policy's samples; and the tokens of one."""
    data = _data(stage)
    samples = data.parameters.get("decoding", {}).get("samples") or stage.parameters.get("parameters", {}).get(
        "samples"
    )
    longest = stage.parameters.get("max_new_tokens") or lengths(data)[1]
    epochs = stage.parameters.get("training", {}).get("epochs", 1)
    return int(pairs_seen(stage) * (samples or SIDES) * epochs), int(longest)


def _data(stage: Stage) -> Stage:
    data = stage.inputs["data"]
    assert isinstance(data, Stage)
    return data
