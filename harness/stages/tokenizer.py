"""Stage ``tokenizer``: a tokenizer for models made from scratch: the world's words, or byte pairs of the corpus."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.jsonl import read_jsonl
from trainers.data.tokenizer import bpe_tokenizer, word_tokenizer

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    words = inputs["data"] / "words.json"
    if words.exists():
        word_tokenizer(json.loads(words.read_text()), out)
    else:
        texts = [row["prompt"] + row["response"] for row in read_jsonl(inputs["data"] / "corpus.jsonl")]
        bpe_tokenizer(texts, parameters["vocabulary"], out)
