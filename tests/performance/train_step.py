"""Speed and memory of a training step beside TRL's: `python -m tests.performance.train_step`.

Every figure that compares comes from one run in which the sides take turns, each in a process of its own, on the same
weights, pairs, order, precision, learning rate and optimizer. Nothing is compared before the losses agree.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.performance.gradients import compiled, growth, upo_over_kto
from tests.performance.section import FULL, LEAN, QUICK, Scale, Table, spread
from tests.performance.sides import BATCH, Settings, sides
from tests.performance.workload import MODEL, VOCABULARY, Workload, prepare
from trainers.config import ModelConfig
from trainers.data.encoded import Encoded
from trainers.model.packing import shuffled

AGREEMENT = {"float32": 1e-4, "bfloat16": 5e-2}
"""Largest difference of two trainers' losses at the same step. In bfloat16 each rounds in its own places."""

PEERS = {
    "TRL": {"precompute": False},
    "TRL, reference precomputed": {"precompute": True},
}
"""Without TRL's default of gradient checkpointing, which would make it slower; `memory` measures it with it."""

LARGEST = ModelConfig("llama", layers=6, hidden=768, heads=12, intermediate=2048, context=MODEL.context)


def compare(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Ours beside every peer: speed, useful arithmetic, memory."""
    steps = scale.steps  # the first turn warms up
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), BATCH * (steps + 1), longest=scale.longest)
        ours = Settings("ours", folder, dtype, threads, micro_batch_tokens=LEAN)
        settings = {"ours": ours} | {name: replace(ours, side="trl", **options) for name, options in PEERS.items()}
        seconds: dict[str, list[float]] = {name: [] for name in settings}
        losses: dict[str, list[float]] = {name: [] for name in settings}
        with sides(settings, workload) as run:
            for _ in range(steps // scale.turn):
                for name, side in run.items():
                    took, seen = side.steps(scale.turn)
                    seconds[name].append(took / scale.turn)
                    losses[name] += seen
            reference = {name: side.reference_seconds * BATCH / len(workload.pairs) for name, side in run.items()}
            peaks = {name: (side.peak(), side.baseline) for name, side in run.items()}
        differences = check_agreement(losses, AGREEMENT[dtype])
        tokens, flops = (count(workload, scale.turn, steps) for count in (unique_tokens, model_flops))
        shapes = matrix_ceiling(MODEL, tokens, dtype, threads)

    mine, (peak, base) = np.array(seconds["ours"][1:]), peaks["ours"]
    rows = []
    for name in settings:
        # A peer that computes its reference in every step is compared with our step and our share of the reference.
        inside = name != "ours" and not settings[name].precompute
        own = np.array(seconds[name][1:])
        ratio = own / (mine + reference["ours"] * inside)
        its_peak, its_base = peaks[name]
        rows.append(
            {
                "trainer": name,
                "s/step": spread(own),
                "reference, s/step": round(reference[name], 3),
                "pairs/s": round(BATCH / float(own.mean()), 2),
                "unique tokens/s": round(tokens / float(own.mean())),
                "useful GFLOP/s": round(flops / float(own.mean()) / 1e9, 1),
                "of the matrix-product ceiling": f"{100 * flops / float(own.mean()) / shapes:.0f} %",
                "we are faster by": "" if name == "ours" else spread(ratio),
                "peak MiB": round(its_peak),
                "above its imports": round(its_peak - its_base),
                "our peak / its": "" if name == "ours" else f"{peak / its_peak:.2f}",
                "our peak / its, above imports": ""
                if name == "ours"
                else f"{(peak - base) / (its_peak - its_base):.2f}",
                "largest loss difference": "" if name == "ours" else f"{differences[name]:.1e}",
            }
        )
    title = (
        f"{dtype}, {threads} thread(s), batches of {BATCH} pairs ({workload.source}), {steps} steps, turns of "
        f"{scale.turn}; ceiling {shapes / 1e9:.0f} GFLOP/s"
    )
    return [Table(title, rows)]


def memory(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Peak memory beside TRL as lean as it gets: gradient checkpointing, reference precomputed."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), BATCH * 5, longest=scale.longest)
        ours = Settings("ours", folder, dtype, threads, micro_batch_tokens=LEAN)
        for name, settings in {"ours": ours, "TRL": replace(ours, side="trl", checkpointing=True)}.items():
            with sides({name: settings}, workload) as run:
                run[name].steps(4)
                peaks[name] = (run[name].peak(), run[name].baseline)
    rows = [{"trainer": n, "peak MiB": round(p), "above its imports": round(p - b)} for n, (p, b) in peaks.items()]
    (p, b), (q, c) = peaks.values()
    title = f"Memory, TRL with gradient checkpointing, {dtype}: ours is {p / q:.2f} of its peak"
    return [Table(f"{title}, {(p - b) / (q - c):.2f} above imports", rows)]


def check_agreement(losses: dict[str, list[float]], allowed: float) -> dict[str, float]:
    """How far every peer's losses are from ours at most.

    Raises
    ------
    SystemExit
        If it is further than allowed: then they do not do the same, and their speeds do not compare.
    """
    ours = np.array(losses["ours"])
    differences = {name: float(np.abs(np.array(seen) - ours).max()) for name, seen in losses.items()}
    for name, difference in differences.items():
        if not difference <= allowed:
            raise SystemExit(f"no ratio: the losses of {name!r} differ from ours by {difference:.2g} (> {allowed:g})")
    return differences


def _encoded(workload: Workload, first: int, steps: int) -> Encoded:
    from trainers.data.tokenizer import load_tokenizer

    encoded = workload.encoded(load_tokenizer(workload.folder), BATCH, seed=0)
    batches = shuffled(len(encoded), BATCH, 0)
    return encoded.take(np.concatenate([next(batches) for _ in range(steps)][first:]))


def unique_tokens(workload: Workload, first: int, steps: int) -> float:
    """Tokens that a step has to feed in when prompts are shared and nothing is padded; mean of steps `first` on."""
    encoded = _encoded(workload, first, steps)
    return float(encoded.prompts[:, 1].sum() + (encoded.lengths - 1).sum()) / (steps - first)


def model_flops(
    workload: Workload, first: int, steps: int, model: ModelConfig = MODEL, vocabulary: int = VOCABULARY
) -> float:
    """What a step has to compute: no padding, no unseen key, no repeated prompt, nothing computed twice.

    Three times (forward, gradient of inputs, of weights) two operations for every weight and token, every query and
    key that it sees, and every vocabulary entry and predicted token.
    """
    encoded = _encoded(workload, first, steps)
    prompts, fed = encoded.prompts[:, 1:], encoded.lengths - 1
    tokens = int(prompts.sum() + fed.sum())
    seen = int((prompts * (prompts + 1) // 2).sum() + (fed * prompts + fed * (fed + 1) // 2).sum())
    weights = model.layers * (4 * model.hidden**2 + 3 * model.hidden * model.intermediate)
    attention = model.layers * 2 * model.hidden * seen
    head = vocabulary * model.hidden * int(encoded.lengths.sum())
    return 6.0 * (weights * tokens + attention + head) / (steps - first)


def matrix_ceiling(model: ModelConfig, tokens: float, dtype: str, threads: int) -> float:
    """Operations per second of the layers' matrix products alone, forward and backward, at these shapes."""
    torch.set_num_threads(threads)
    kind, n = getattr(torch, dtype), int(tokens)
    operations, seconds = 0.0, 0.0
    for inputs, outputs in ((model.hidden, model.hidden), (model.hidden, model.intermediate)):
        x, y, w = (torch.randn(shape).to(kind) for shape in ((n, inputs), (n, outputs), (outputs, inputs)))
        for left, right in ((x, w.t()), (y, w), (y.t(), x)):
            seconds += min(_timed(left, right) for _ in range(5))
            operations += 2.0 * n * inputs * outputs
    return operations / seconds


def _timed(left: Tensor, right: Tensor) -> float:
    began = time.perf_counter()
    left @ right
    return time.perf_counter() - began


def largest(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Our share of the matrix-product ceiling at the largest size."""
    turns = max(2, scale.steps // 6)
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), BATCH * (turns + 2), LARGEST, longest=scale.longest)
        settings = Settings("ours", folder, dtype, threads, micro_batch_tokens=2 * LEAN)
        with sides({"ours": settings}, workload) as run:
            run["ours"].steps(1)
            seconds = [run["ours"].steps(1)[0] for _ in range(turns)]
            peak = run["ours"].peak()
        tokens = unique_tokens(workload, 1, turns + 1)
        flops = model_flops(workload, 1, turns + 1, LARGEST)
        ceiling = matrix_ceiling(LARGEST, tokens, dtype, threads)
    rate = flops * len(seconds) / sum(seconds)
    row = {
        "s/step": spread(seconds),
        "useful GFLOP/s": round(rate / 1e9, 1),
        "ceiling, GFLOP/s": round(ceiling / 1e9, 1),
        "share": f"{100 * rate / ceiling:.0f} %",
        "peak MiB": round(peak),
    }
    return [Table(f"Ours, {LARGEST.layers} layers of width {LARGEST.hidden}, {dtype}, {threads} thread(s)", [row])]


Section = Callable[[str, Scale, int], list[Table]]
SECTIONS: dict[str, Section] = {
    "compare": compare,
    "memory": memory,
    "largest": largest,
    "upo": upo_over_kto,
    "compile": compiled,
    "growth": growth,
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.performance.train_step", description=__doc__.split("\n")[0])
    parser.add_argument("--precision", choices=sorted(AGREEMENT), default="float32")
    parser.add_argument("--only", choices=sorted(SECTIONS), action="append", help="a section; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few steps, to see that it runs; figures mean nothing")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, help="also write the tables as JSON")
    options = parser.parse_args(arguments)
    tables: list[Table] = []
    for name in options.only or SECTIONS:
        for table in SECTIONS[name](options.precision, QUICK if options.quick else FULL, options.threads):
            print(table, flush=True)
            tables.append(table)
    if options.out:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps([{"title": t.title, "rows": t.rows} for t in tables], indent=1))


if __name__ == "__main__":
    sys.exit(main())
