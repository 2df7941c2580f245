"""A tokenizer for models made from scratch: the world's words, or byte pairs of the corpus."""

from __future__ import annotations

from harness.store.files import read_jsonl, world_of
from trainers.data.tokenizer import bpe_tokenizer, word_tokenizer


def run(parameters, inputs, out, progress=None) -> None:
    if world := world_of(inputs["data"]):
        responses = {f" {text}" for row in range(len(world.prompts)) for text in world.responses(row)}
        word_tokenizer([*(prompt.text for prompt in world.prompts), *responses], out)
    else:
        texts = [row["prompt"] + row["response"] for row in read_jsonl(inputs["data"] / "corpus.jsonl")]
        bpe_tokenizer(texts, parameters["vocabulary"], out)
