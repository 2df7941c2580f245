"""Training data of the benchmarks: pairs, a tokenizer and a model, all fixed by a seed.

Pairs are real ones (Anthropic's HH) where the folder of shared test data has them, generated ones with the same
distribution of lengths otherwise.
"""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tests.paths import SHARED
from trainers.config import ModelConfig
from trainers.data.encoded import Encoded
from trainers.data.encoding import Limits, encode_pairs
from trainers.data.records import Pair
from trainers.model.packing import shuffled

VOCABULARY = 1536
CONTEXT = 1024
MODEL = ModelConfig("llama", layers=4, hidden=256, heads=4, intermediate=688, context=CONTEXT)
"""3.9 million parameters with the vocabulary above."""

PAIRS_FILE = SHARED / ("hh_rlhf/pairs.jsonl.gz")


@dataclass(frozen=True)
class Workload:
    """A folder with a model and its tokenizer, and pairs in the order in which every trainer takes them.

    Parameters
    ----------
    folder : Path
        A checkpoint with random weights.
    pairs : list of Pair
        The n-th batch of the run is the n-th slice of them.
    source : str
        Where the pairs come from.
    """

    folder: Path
    pairs: list[Pair]
    source: str

    def encoded(self, tokenizer, batch_size: int, seed: int) -> Encoded:
        """The pairs as our trainer takes them: so placed that its shuffling gives back their order."""
        n = len(self.pairs)
        batches = shuffled(n, batch_size, seed)
        drawn = np.concatenate([next(batches) for _ in range(-(-n // batch_size))])
        placed: list[Pair] = [self.pairs[0]] * n
        for pair, place in zip(self.pairs, drawn, strict=True):
            placed[place] = pair
        return encode_pairs(placed, tokenizer, Limits(CONTEXT))


def real_pairs(file: Path = PAIRS_FILE) -> list[Pair]:
    """HH pairs with a shared prompt and two different responses."""
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Pair(row["id"], row["prompt"], row["chosen"], row["rejected"])
        for row in rows
        if row["same_prompt"] and row["chosen"] != row["rejected"]
    ]


def generated_pairs(n: int, seed: int = 0) -> list[Pair]:
    """Made-up pairs whose lengths in tokens are log-normal with HH's medians and spreads."""
    draw = random.Random(seed)
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["".join(draw.choices(letters, k=draw.randint(2, 8))) for _ in range(400)]

    def text(median: float, spread: float) -> str:
        return "".join(" " + draw.choice(words) for _ in range(max(1, round(draw.lognormvariate(median, spread)))))

    return [Pair(f"g{i}", text(4.5, 0.95), text(3.4, 0.95) + " yes", text(3.4, 0.95) + " no") for i in range(n)]


def prepare(
    folder: Path,
    n: int,
    model: ModelConfig = MODEL,
    *,
    longest: int = CONTEXT,
    vocabulary: int = VOCABULARY,
    seed: int = 0,
) -> Workload:
    """Make a checkpoint and draw `n` pairs that fit `longest` tokens without truncation.

    Parameters
    ----------
    folder : Path
        Where the checkpoint goes.
    """
    from trainers.data.tokenizer import bpe_tokenizer
    from trainers.model.loading import make

    real = PAIRS_FILE.is_file()
    everything = real_pairs() if real else generated_pairs(4 * n + 2000, seed)
    random.Random(seed).shuffle(everything)
    tokenizer = bpe_tokenizer([p.prompt + p.chosen for p in everything[:3000]], vocabulary, folder)

    def length(text: str) -> int:
        return len(tokenizer(text, add_special_tokens=False).input_ids)

    fitting = (p for p in everything if 2 + length(p.prompt) + max(length(p.chosen), length(p.rejected)) <= CONTEXT)
    pairs = [replace(pair, id=f"p{i}") for i, pair in zip(range(n), fitting, strict=False)]
    make(replace(model, context=CONTEXT), tokenizer, seed).save_pretrained(folder)
    return Workload(folder, pairs, "Anthropic HH" if real else "generated, of HH's lengths")
