"""How fast and how large a training step is, beside TRL's: `python -m tests.performance.train_step`.

Every figure that compares comes from one run in which the sides take turns, each in a process of its own, on the same
weights, pairs, order, precision, learning rate and optimizer. Nothing is compared before the losses agree.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from tests.performance.sides import BATCH, BETA, Settings, sides
from tests.performance.workload import MODEL, VOCABULARY, Workload, prepare
from trainers.config import ModelConfig, TrainConfig
from trainers.encoded import Encoded
from trainers.packing import shuffled
from trainers.policy import Objective

AGREEMENT = {"float32": 1e-4, "bfloat16": 5e-2}
"""Largest difference of two trainers' losses at the same step. In bfloat16 each rounds in its own places."""

PEERS = {
    "TRL": {"precompute": False},
    "TRL, reference precomputed": {"precompute": True},
}
"""Without TRL's default of gradient checkpointing, which would make it slower; `memory` measures it with it."""

LEAN = 2048
"""Tokens per micro-batch of our side."""

LARGEST = ModelConfig("llama", layers=6, hidden=768, heads=12, intermediate=2048, context=MODEL.context)


@dataclass(frozen=True)
class Scale:
    """How much of everything is run."""

    steps: int
    turn: int
    repetitions: int
    growth: tuple[int, ...]
    longest: int


FULL = Scale(steps=20, turn=4, repetitions=30, growth=(1, 2, 4, 8, 16), longest=MODEL.context)
QUICK = Scale(steps=4, turn=2, repetitions=2, growth=(1, 2), longest=160)


@dataclass(frozen=True)
class Table:
    """A title, and rows of named cells; prints as Markdown."""

    title: str
    rows: list[dict[str, object]]

    def __str__(self) -> str:
        names = list(self.rows[0])
        lines = [names, ["---"] * len(names), *([_text(row[name]) for name in names] for row in self.rows)]
        return f"\n**{self.title}**\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _text(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def spread(values: Sequence[float]) -> str:
    """Median and range.

    Examples
    --------
    >>> spread([7.0, 8.0, 6.5])
    '7.00 (6.50–8.00)'
    """
    return f"{np.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


def compare(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Ours beside every peer: speed, useful arithmetic, memory."""
    steps = scale.steps  # the first turn warms up
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), BATCH * (steps + 1), longest=scale.longest)
        ours = Settings("ours", folder, dtype, threads, micro_batch_tokens=LEAN)
        settings = {"ours": ours} | {name: replace(ours, side="trl", **given) for name, given in PEERS.items()}
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
    from trainers.tokenizer import load_tokenizer

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


def dpo_objective(dtype: str, batches: int, model: ModelConfig = MODEL) -> Objective:
    """DPO on the benchmark's pairs, `batches` batches of them, its reference computed."""
    from trainers.methods import create
    from trainers.models import layout_for, load
    from trainers.policy import Given
    from trainers.scoring import score_all
    from trainers.tokenizer import load_tokenizer

    config = TrainConfig(batch_size=BATCH, dtype=dtype, micro_batch_tokens=LEAN)
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), batches * BATCH, model)
        policy = load(workload.folder)
        encoded = workload.encoded(load_tokenizer(workload.folder), BATCH, 0)
    layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
    reference = torch.from_numpy(score_all(policy, encoded, layout, config))
    given = Given(torch.tensor([[True, False]]).expand(len(encoded), 2), reference[None])
    return Objective(create("dpo", beta=BETA), policy, None, encoded, given, layout, config)


def upo_over_kto(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """A step of UPO with KTO as its base beside a step of KTO: the same policy, the same batches, in turn."""
    from trainers.methods import create
    from trainers.models import layout_for, load
    from trainers.policy import Given
    from trainers.reference import mismatched
    from trainers.scoring import score_all
    from trainers.tokenizer import load_tokenizer
    from trainers.value import ValueHead

    torch.set_num_threads(threads)
    config = TrainConfig(batch_size=BATCH, dtype=dtype)
    with tempfile.TemporaryDirectory() as folder:
        workload = prepare(Path(folder), 4 * BATCH, longest=scale.longest)
        policy = load(workload.folder)
        encoded = workload.encoded(load_tokenizer(workload.folder), BATCH, 0)
    layout = layout_for(policy, encoded.longest(), config.micro_batch_tokens)
    others = mismatched(encoded, MODEL.context)
    reference, other = (torch.from_numpy(score_all(policy, part, layout, config)) for part in (encoded, others))
    desirable = torch.tensor([[True, False]]).expand(len(encoded), 2)
    given = Given(desirable, reference[None], torch.linspace(0, 1, desirable.numel()).view(-1, 2), others, other[:, 0])
    objectives = {
        "kto": Objective(create("kto", beta=BETA), policy, None, encoded, given, layout, config),
        "upo": Objective(
            create("upo", base="kto", base_parameters={"beta": BETA}),
            policy,
            ValueHead(MODEL.hidden, seed=0),
            encoded,
            given,
            layout,
            config,
        ),
    }
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    batches = shuffled(len(encoded), BATCH, 0)
    for repetition in range(scale.repetitions + 1):
        batch = next(batches)
        for name in sorted(objectives, reverse=bool(repetition % 2)):
            policy.zero_grad(set_to_none=True)
            began = time.perf_counter()
            objectives[name].backward(batch, step=1000)
            seconds[name].append(time.perf_counter() - began)
    ratios = np.array(seconds["upo"][1:]) / np.array(seconds["kto"][1:])
    error = 1.25 * ratios.std(ddof=1) / np.sqrt(len(ratios))
    row = {
        "KTO, s/step": spread(seconds["kto"][1:]),
        "UPO, s/step": spread(seconds["upo"][1:]),
        "UPO costs more by": f"{100 * (np.median(ratios) - 1):+.2f} % ± {100 * error:.2f} % (standard error)",
    }
    return [Table(f"UPO over its base, gradient of a batch, {dtype}, {threads} thread(s)", [row])]


def compiled(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """A gradient with every layer under `torch.compile` beside the same without: the same batches, in turn."""
    torch.set_num_threads(threads)
    eager = dpo_objective(dtype, batches=8)
    other = replace(eager, policy=copy.deepcopy(eager.policy))
    for layer in other.policy.base_model.layers:
        layer.compile(dynamic=True)
    objectives = {"eager": eager, "compiled": other}
    seconds: dict[str, list[float]] = {name: [] for name in objectives}
    batches = shuffled(len(eager.encoded), BATCH, 0)
    for repetition in range(scale.repetitions + 1):
        batch = next(batches)
        for name in sorted(objectives, reverse=bool(repetition % 2)):
            objectives[name].policy.zero_grad(set_to_none=True)
            began = time.perf_counter()
            objectives[name].backward(batch, step=0)
            seconds[name].append(time.perf_counter() - began)
    gradients = [torch.cat([p.grad.flatten() for p in o.policy.parameters()]) for o in objectives.values()]
    # Shapes that were not seen before are compiled anew, mostly in the first half.
    late = len(seconds["eager"]) // 2
    ratios = np.array(seconds["compiled"][late:]) / np.array(seconds["eager"][late:])
    row = {
        "steps": len(seconds["eager"]),
        "s, eager": round(sum(seconds["eager"]), 1),
        "s, compiled": round(sum(seconds["compiled"]), 1),
        "compiled over eager in the second half": spread(ratios),
        "relative difference of the gradients": float((gradients[1] - gradients[0]).norm() / gradients[0].norm()),
    }
    return [Table(f"torch.compile, gradient of a batch of DPO, {dtype}, {threads} thread(s)", [row])]


def growth(dtype: str, scale: Scale, threads: int) -> list[Table]:
    """Seconds of a gradient as data, prompts and the vocabulary grow, each alone."""
    torch.set_num_threads(threads)
    base = {"pairs": 8, "prompt": 32, "vocabulary": 1024}
    tables = []
    for what, start in base.items():
        rows = []
        for factor in scale.growth:
            best = min(_seconds(**(base | {what: start * factor}), dtype=dtype) for _ in range(2))
            rows.append({what: start * factor, "×": factor, "s": round(best, 4)})
        for row in rows:
            row["s over 1×"] = f"{row['s'] / rows[0]['s']:.2f}"
        tables.append(Table(f"Growth with {what}, {dtype}, {threads} thread(s)", rows))
    return tables


def _seconds(pairs: int, prompt: int, vocabulary: int, dtype: str) -> float:
    """The gradient of DPO on made-up pairs, responses of 32 tokens, in batches of 8."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from trainers.methods import create
    from trainers.models import layout_for
    from trainers.policy import Given

    at = np.arange(2 * pairs).reshape(pairs, 2) * 32 + pairs * prompt
    responses = np.stack([at, np.full_like(at, 32)], -1)
    prompts = np.stack([np.arange(pairs) * prompt, np.full(pairs, prompt)], -1)
    tokens = np.random.default_rng(0).integers(0, vocabulary, pairs * (prompt + 64)).astype(np.int32)
    ids = [str(i) for i in range(pairs)]
    encoded = Encoded(
        ids, ("chosen", "rejected"), tokens, prompts, responses, np.ones((pairs, 2), bool), np.arange(pairs)
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=MODEL.hidden,
            intermediate_size=MODEL.intermediate,
            num_hidden_layers=MODEL.layers,
            num_attention_heads=MODEL.heads,
            max_position_embeddings=MODEL.context,
        )
    ).eval()
    config = TrainConfig(batch_size=BATCH, dtype=dtype)
    given = Given(torch.tensor([[True, False]]).expand(pairs, 2), torch.zeros(1, pairs, 2))
    layout = layout_for(model, encoded.longest(), config.micro_batch_tokens)
    objective = Objective(create("dpo", beta=BETA), model, None, encoded, given, layout, config)
    objective.backward(np.arange(BATCH), 0)
    began = time.perf_counter()
    for first in range(0, pairs, BATCH):
        objective.backward(np.arange(first, first + BATCH), 0)
    return time.perf_counter() - began


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
    given = parser.parse_args(arguments)
    tables: list[Table] = []
    for name in given.only or SECTIONS:
        for table in SECTIONS[name](given.precision, QUICK if given.quick else FULL, given.threads):
            print(table, flush=True)
            tables.append(table)
    if given.out:
        given.out.parent.mkdir(parents=True, exist_ok=True)
        given.out.write_text(json.dumps([{"title": t.title, "rows": t.rows} for t in tables], indent=1))


if __name__ == "__main__":
    sys.exit(main())
