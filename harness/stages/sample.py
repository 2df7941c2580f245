"""Sampled responses of a policy to the training prompts, for data steps."""

from __future__ import annotations

from harness.files import CHECKPOINT, read_jsonl, write_jsonl
from harness.records import Status
from suites.generation import Decoding, generate


def run(parameters, inputs, out, progress=None) -> None:
    prompts = {row["id"]: row["prompt"] for row in read_jsonl(inputs["data"] / "pairs.jsonl")}
    decoding = Decoding(**parameters["decoding"])
    generations = iter(generate(inputs["policy"] / CHECKPOINT, prompts, decoding))
    # An unfinished response would be taught an end it does not have, an empty one cannot be taught at all.
    rows = (
        {
            "id": key,
            "prompt": prompt,
            "responses": [g.response if g.status is Status.OK else None for g, _ in zip(generations, range(decoding.samples))],
        }
        for key, prompt in prompts.items()
    )
    write_jsonl(out / "samples.jsonl", rows)
