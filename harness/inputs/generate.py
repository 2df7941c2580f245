"""Responses of a policy to the evaluation prompts, by any generator; prompts of several turns are answered turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records import Generation, Status
from harness.store.conditions import condition_of
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from harness.store.tables import write_generations
from suites.generation.decoding import Decoding
from trainers.data_steps.conditioning import conditioned
from trainers.tokens.dialogue import Text, as_messages, as_reply, readable

Generate = Callable[[Path, Mapping[str, Text], Decoding, str], list[Generation]]

Row = Mapping[str, Any]
"""A row of ``prompts.jsonl``: ``id, prompt, reference``, and for a later turn ``after``, the id of the turn before."""

Ask = Callable[[Mapping[str, Text], Decoding], list[Generation]]
"""From prompts by id to generations."""


def answer(generate: Generate, parameters: Mapping[str, Any], inputs: Mapping[str, Path], out: Path) -> None:
    """Write the responses of a policy to the prompts, each with the policy's condition at its end."""
    condition = condition_of(inputs)
    rows = read_jsonl(inputs["data"] / "prompts.jsonl")

    def ask(prompts: Mapping[str, Text], decoding: Decoding) -> list[Generation]:
        seen = {key: conditioned(prompt, condition) for key, prompt in prompts.items()}
        return generate(inputs["policy"] / CHECKPOINT, seen, decoding, parameters["device"])

    generations = answer_turns(ask, rows, Decoding(**parameters["decoding"]))
    # Judges compare responses to the user's prompt, without the condition.
    asked = conversations(rows, generations)
    references = {row["id"]: row.get("reference") or "" for row in rows}
    generations = [replace(g, prompt=readable(asked[g.item]), reference=references[g.cluster]) for g in generations]
    write_generations(out, generations)


def answer_turns(ask: Ask, rows: Sequence[Row], decoding: Decoding) -> list[Generation]:
    """Answer every row; a later turn is asked behind the policy's own replies to the turns before it.

    A turn whose predecessor has no reply is an ``error`` row.
    """
    generations = ask({row["id"]: row["prompt"] for row in rows if not row.get("after")}, decoding)
    answered = {row["id"] for row in rows if not row.get("after")}
    while turns := [row for row in rows if row.get("after") in answered and row["id"] not in answered]:
        by_key = {(g.cluster, g.trial): g for g in generations}
        asked = {(row["id"], trial): row for row in turns for trial in range(decoding.samples)}
        open_turns = {
            key: _continued(row, key[1], rows, by_key)
            for key, row in asked.items()
            if by_key[row["after"], key[1]].status is not Status.ERROR
        }
        replies = ask(
            {f"{name}#{trial}": prompt for (name, trial), prompt in open_turns.items()}, replace(decoding, samples=1)
        )
        reply_of = dict(zip(open_turns, replies, strict=True))
        for (name, trial), row in asked.items():
            made = reply_of.get((name, trial)) or Generation("", name, readable(row["prompt"]), "", 0, Status.ERROR)
            generations.append(replace(made, item=f"{name}#{trial}", cluster=name, trial=trial))
        answered |= {row["id"] for row in turns}
    return generations


def conversations(rows: Iterable[Row], generations: Sequence[Generation]) -> dict[str, Text]:
    """What a policy was asked, by item, without a condition: the prompt, for a later turn with the turns before it."""
    rows, by_key = list(rows), {(g.cluster, g.trial): g for g in generations}
    by_id = {row["id"]: row for row in rows}
    return {g.item: _continued(by_id[g.cluster], g.trial, rows, by_key) for g in generations}


def _continued(row: Row, trial: int, rows: Sequence[Row], generations: Mapping[tuple[str, int], Generation]) -> Text:
    """The prompt of a row, behind the turns before it and the policy's replies to them."""
    prompt: Text = row["prompt"]
    if not row.get("after"):
        return prompt
    before = next(other for other in rows if other["id"] == row["after"])
    earlier = _continued(before, trial, rows, generations)
    reply = as_reply(earlier, generations[before["id"], trial].response)
    return [*as_messages(earlier), *reply, *as_messages(prompt)]
