"""Sampled responses of a policy to the evaluation prompts, by vLLM."""

from __future__ import annotations

from contextlib import closing

from harness.files import CHECKPOINT, read_jsonl
from harness.records import Generation, to_frame
from suites.decoding import Decoding
from suites.vllm_generation import VLLMGenerator


def run(parameters, inputs, out, progress=None) -> None:
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "prompts.jsonl")}
    with closing(VLLMGenerator.load(inputs["policy"] / CHECKPOINT)) as generator:
        generations = generator.generate(prompts, Decoding(**parameters["decoding"]))
    to_frame(generations, Generation).to_parquet(out / "generations.parquet", index=False)
