"""A tokenizer for models made from scratch: the world's words, or byte pairs of the corpus."""

from __future__ import annotations

from harness.files import read_jsonl
from trainers.tokenizer import bpe_tokenizer, word_tokenizer


def run(parameters, inputs, out, progress=None) -> None:
    vocabulary = inputs["data"] / "vocabulary.txt"
    if vocabulary.exists():
        word_tokenizer(vocabulary.read_text().split("\n"), out)
    else:
        texts = [row["prompt"] + row["response"] for row in read_jsonl(inputs["data"] / "corpus.jsonl")]
        bpe_tokenizer(texts, parameters["vocabulary"], out)
