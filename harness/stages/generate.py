"""Sampled responses of a policy to the evaluation prompts."""

from __future__ import annotations

from dataclasses import replace

from harness.files import CHECKPOINT, condition_of, read_jsonl
from harness.records import Generation, to_frame
from suites.generation import Decoding, generate
from trainers.conditioning import conditioned


def run(parameters, inputs, out, progress=None) -> None:
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    condition = condition_of(inputs)
    asked = {key: conditioned(prompt, condition) for key, prompt in prompts.items()}
    generations = generate(inputs["policy"] / CHECKPOINT, asked, Decoding(**parameters["decoding"]))
    # The judges are to see what a user asked, not how the policy was told what is wanted.
    generations = (
        [replace(g, prompt=g.prompt.replace(condition, "")) for g in generations] if condition else generations
    )
    to_frame(generations, Generation).to_parquet(out / "generations.parquet", index=False)
