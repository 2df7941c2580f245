"""The evaluation prompts asked of a policy, whatever generates its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from harness.records import Generation
from harness.store.conditions import condition_of
from harness.store.jsonl import read_jsonl
from harness.store.names import CHECKPOINT
from harness.store.tables import write_generations
from suites.generation.decoding import Decoding
from trainers.data_steps.conditioning import conditioned

Generate = Callable[[Path, Mapping[str, str], Decoding, str], list[Generation]]


def answer(generate: Generate, parameters: Mapping, inputs: Mapping[str, Path], out: Path) -> None:
    """Write a policy's generations, asked under its condition if it has one."""
    condition = condition_of(inputs)
    rows = read_jsonl(inputs["data"] / "prompts.jsonl")
    prompts = {row["id"]: conditioned(row["prompt"], condition) for row in rows}
    decoding, device = Decoding(**parameters["decoding"]), parameters["device"]
    generations = generate(inputs["policy"] / CHECKPOINT, prompts, decoding, device)
    if condition:
        # The judges are to see what a user asked, not how the policy was told what is wanted.
        asked = {row["id"]: row["prompt"] for row in rows}
        generations = [replace(g, prompt=asked[g.cluster]) for g in generations]
    references = {row["id"]: row.get("reference") or "" for row in rows}
    write_generations(out, [replace(g, reference=references[g.cluster]) for g in generations])
