"""Sampled responses of a policy to the evaluation prompts."""

from __future__ import annotations

from harness.files import CHECKPOINT, read_jsonl
from harness.records import Generation, to_frame
from suites.generation import Decoding, generate


def run(parameters, inputs, out, progress=None) -> None:
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    generations = generate(inputs["policy"] / CHECKPOINT, prompts, Decoding(**parameters["decoding"]))
    to_frame(generations, Generation).to_parquet(out / "generations.parquet", index=False)
