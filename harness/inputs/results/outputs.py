"""Responses of models by prompt: plain JSON lines, and AlpacaEval's ``model_outputs.json``."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from harness.inputs.results.form import Located, first_of, form
from harness.inputs.results.result import Result
from harness.records import Status
from trainers.data.fields import NUMBER, Fields, Unusable, is_missing

PROMPTS = ("prompt", "instruction", "question")
RESPONSES = ("response", "output", "completion", "generation", "text", "answer", "solution")
GENERATORS = ("generator", "model", "model_name")
IDS = ("id", "prompt_id", "question_id")
TRIALS = ("trial", "sample", "sample_id")
BESIDE = (*PROMPTS, *RESPONSES, *GENERATORS, *IDS, *TRIALS, "input", "size", "seed", "reference", "status", "dataset")


def has_prompt_and_response(row: Fields) -> bool:
    """Whether a row has a prompt and a response under one of their names."""
    return first_of(row, PROMPTS) is not None and first_of(row, RESPONSES) is not None


@form("outputs", has_prompt_and_response, general=True)
def outputs(path: Path, rows: Iterable[Located]) -> Iterator[Result]:
    """Responses by prompt (prompt or instruction, and output, response or completion)."""
    for where, row in rows:
        yield replace(
            named(where, row),
            prompt=prompt_of(row),
            response=_response(row),
            reference=optional_text(row, "reference"),
            status=_status(row),
            scores=numbers(row),
        )


def prompt_of(row: Fields) -> str:
    """The prompt's text; an instruction and its input as AlpacaEval joins them; messages as paragraphs."""
    name = first_of(row, PROMPTS)
    assert name is not None
    prompt = row.text_or_messages(name)
    if not isinstance(prompt, str):
        return "\n\n".join(message["content"] for message in prompt)
    more = row.text("input", empty=True) if "input" in row and name == "instruction" else ""
    return f"{prompt}\n\n{more}" if more else prompt


def _response(row: Fields) -> str | None:
    name = first_of(row, RESPONSES)
    assert name is not None
    if name not in row:
        return None
    value = row.values[name]
    if isinstance(value, list):
        return "\n\n".join(message["content"] for message in row.messages(name))
    return row.text(name, empty=True)


def _status(row: Fields) -> Status:
    name = first_of(row, RESPONSES)
    assert name is not None
    stated = optional_text(row, "status")
    if stated is not None:
        if stated not in list(Status):
            raise Unusable(f"unknown status {stated!r}", f"known are {', '.join(Status)}")
        return Status(stated)
    return Status.OK if name in row else Status.ERROR


def named(where: str, row: Fields) -> Result:
    """A result that is named and nothing else: its generator, size and seed, the prompt's id, the number of the sample."""
    generator, name, trial = first_of(row, GENERATORS), first_of(row, IDS), first_of(row, TRIALS)
    return Result(
        where,
        generator=row.text(generator) if generator and generator in row else "",
        size=row.identifier("size") if "size" in row else "",
        seed=row.whole("seed") if "seed" in row else None,
        id=row.identifier(name) if name and name in row else None,
        trial=row.whole(trial) if trial and trial in row else None,
    )


def numbers(row: Fields) -> dict[str, float | None]:
    """The columns of a row that hold a number, or nothing, and that name nothing else; None where it is not finite."""
    scores: dict[str, float | None] = {}
    for name, value in row.values.items():
        if name in BESIDE:
            continue
        if is_missing(value):
            scores[name] = None
        elif isinstance(value, int | float) or (isinstance(value, str) and NUMBER.fullmatch(value)):
            scores[name] = float(value) if math.isfinite(float(value)) else None
    return scores


def optional_text(row: Fields, name: str) -> str | None:
    """A text that may be missing."""
    return row.text(name, empty=True) if name in row else None
