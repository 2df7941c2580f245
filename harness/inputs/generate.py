"""Responses of a policy to the evaluation prompts, by any generator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.records import Generation
from harness.store.conditions import condition_of
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from harness.store.tables import write_generations
from suites.generation.decoding import Decoding
from trainers.data_steps.conditioning import conditioned

Text = str | list[dict[str, Any]]
"""A prompt or response: text, or messages."""

Generate = Callable[[Path, Mapping[str, Text], Decoding, str], list[Generation]]


def answer(generate: Generate, parameters: Mapping[str, Any], inputs: Mapping[str, Path], out: Path) -> None:
    """Write the responses of a policy to the prompts, each with the policy's condition at its end."""
    condition = condition_of(inputs)
    rows = read_jsonl(inputs["data"] / "prompts.jsonl")
    prompts = {row["id"]: conditioned(row["prompt"], condition) for row in rows}
    decoding, device = Decoding(**parameters["decoding"]), parameters["device"]
    generations = generate(inputs["policy"] / CHECKPOINT, prompts, decoding, device)
    if condition:
        # Judges compare responses to the user's prompt, without the condition.
        plain = {row["id"]: row["prompt"] for row in rows}
        generations = [replace(g, prompt=plain[g.cluster]) for g in generations]
    references = {row["id"]: row.get("reference") or "" for row in rows}
    write_generations(out, [replace(g, reference=references[g.cluster]) for g in generations])
