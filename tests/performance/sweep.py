"""Cost of a sweep of K policies against K single runs: `python -m tests.performance.sweep [PAIRS [REPEATS [STEPS]]]`.

The model and the pairs have the shape of the shipped experiment `bench`, the sweep is DPO's over beta. Single runs and
`trainers.sweep.align_together` take turns, on one thread, with the same reference file; the results are compared
before anything is printed. A ratio of 1 means that nothing is saved.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from trainers import sweep
from trainers.align import align
from trainers.config import ModelConfig, TrainConfig, TrainResult
from trainers.data.records import Pair
from trainers.data.tokenizer import word_tokenizer
from trainers.methods import create
from trainers.model.loading import make
from trainers.objective.reference import reference_logps
from trainers.sweep import Run, align_together

WORDS = [f"w{number}" for number in range(50)]
MODEL = ModelConfig("llama", layers=2, hidden=64, heads=4, intermediate=192, context=96)
CONFIG = TrainConfig(optimizer="adamw", learning_rate=2e-4, warmup_steps=10)
SIZES, BATCHES = (2, 4, 8), (2, 8, 32)
WAYS = {"in turn": 0.0, "in step": float("inf")}
"""How the policies are taken, and the threshold that makes it so."""


def make_pairs(n: int) -> list[Pair]:
    """Prompts of 8 to 16 words with two responses of 12 to 24 each."""
    rng = random.Random(0)

    def words(low: int, high: int) -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(low, high)))

    return [Pair(f"p{i}", words(8, 16), f" {words(12, 24)}", f" {words(12, 24)}") for i in range(n)]


def prepare_sweep(root: Path, n_pairs: int) -> tuple[Path, list[Pair], list[Path]]:
    """The base, the pairs, and the reference's scores of them."""
    pairs, base = make_pairs(n_pairs), root / "base"
    tokenizer = word_tokenizer([*WORDS, *(f" {word}" for word in WORDS)], root / "tokenizer")
    make(MODEL, tokenizer, 0).save_pretrained(base)
    tokenizer.save_pretrained(base)
    return base, pairs, [reference_logps(base, pairs, CONFIG, root / "reference.parquet")]


def timed(function) -> tuple[float, list[TrainResult]]:
    began = time.perf_counter()
    results = function()
    return time.perf_counter() - began, results


def differences(ours: list[TrainResult], alone: list[TrainResult]) -> tuple[float, float]:
    """Largest differences of a loss on the curve and of a weight."""
    losses = [[np.array([v for _, name, v in r.curve if name == "loss"]) for r in side] for side in (ours, alone)]
    weights = [[load_file(r.checkpoint / "model.safetensors") for r in side] for side in (ours, alone)]
    worst_loss = max(np.abs(a - b).max() for a, b in zip(*losses, strict=True))
    worst_weight = max((a[n] - b[n]).abs().max().item() for a, b in zip(*weights, strict=True) for n in a)
    return float(worst_loss), worst_weight


def main(n_pairs: int, repeats: int, steps: int) -> None:
    torch.set_num_threads(1)
    print(f"{n_pairs} pairs, {MODEL.layers} layers of width {MODEL.hidden}; cost of the sweep / cost of K single runs")
    print("pairs a step   K   taken     loss differs   weights differ   ratio (each turn)")
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        base, pairs, files = prepare_sweep(root, n_pairs)
        for batch_size, k in product(BATCHES, SIZES):
            config = replace(CONFIG, batch_size=batch_size, max_steps=steps)
            methods = [create("dpo", beta=beta) for beta in np.geomspace(0.1, 1.0, k)]
            compare(base, pairs, files, methods, config, repeats, root / f"{batch_size}-{k}")


def compare(base, pairs, files, methods, config: TrainConfig, repeats: int, root: Path) -> None:
    """Single runs, then the sweep taken in turn, then in step, and all that again."""
    ratios: dict[str, list[float]] = {name: [] for name in WAYS}
    differing = dict.fromkeys(WAYS, (0.0, 0.0))
    for turn in range(repeats):

        def places(way: str, turn: int = turn) -> list[Path]:
            return [root / f"{turn}-{way}-{number}" for number in range(len(methods))]

        def one_by_one() -> list[TrainResult]:
            outs = zip(methods, places("alone"), strict=True)
            return [align(method, base, pairs, config, out, reference_logps=files) for method, out in outs]

        single, alone = timed(one_by_one)
        for way, sweep.STACK_BELOW in WAYS.items():
            runs = [Run(method, config, out) for method, out in zip(methods, places(way), strict=True)]
            took, ours = timed(lambda runs=runs: align_together(runs, base, pairs, reference_logps=files))
            differing[way] = max(differing[way], differences(ours, alone))
            if differing[way][0] > 1e-4:
                raise SystemExit(f"the losses differ by {differing[way][0]:.2g}")
            ratios[way].append(took / single)
    for way in WAYS:
        (loss, weight), each = differing[way], " ".join(f"{ratio:.2f}" for ratio in ratios[way])
        figures = f"{loss:>12.1e} {weight:>16.1e}   {np.median(ratios[way]):.2f} ({each})"
        print(f"{config.batch_size:>12} {len(methods):>3}   {way:<8} {figures}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.performance.sweep", description=__doc__.split("\n")[0])
    for name, default in (("pairs", 512), ("repeats", 3), ("steps", 96)):
        parser.add_argument(name, type=int, nargs="?", default=default)
    main(*vars(parser.parse_args()).values())
