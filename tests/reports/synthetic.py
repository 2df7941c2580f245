"""Records of a synthetic experiment with known truth, for the tests of `reports`.

Every cell (method, sweep value, size, seed) has a true win rate and true designer scores; seeds move
them by `seed_sd`, prompts by `prompt_sd` (shared by all methods, so that items are paired), and
outcomes are drawn around them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from harness.records import (
    Cell,
    CurvePoint,
    Generation,
    ItemScore,
    Measure,
    Objective,
    Records,
    Status,
    TruthPoint,
)

OBJECTIVES = (
    Objective("win_rate", "Win rate", "maximize", "probability", (0.0, 1.0), "user", 0.0),
    Objective("toxicity", "Toxicity", "minimize", "probability", (0.0, 1.0), "designer", 1.0),
    Objective("readability", "Readability", "maximize", "score", (0.0, 1.0), "designer", 0.0),
)
CAVEAT = "Models of this size are trained from scratch in minutes; they show orderings, not absolute quality."


@dataclass(frozen=True)
class MadeMethod:
    """A method's trade-off: how far below the true frontier it stays, and its sweep values."""

    name: str
    shortfall: float
    sweep: tuple[float | None, ...] = (None,)


METHODS = (
    MadeMethod("sft", 0.18),
    MadeMethod("dpo", 0.05),
    MadeMethod("kto", 0.07),
    MadeMethod("upo", 0.01, (0.5, 1.0, 2.0, 4.0)),
    MadeMethod("modpo", 0.03, (0.25, 0.5, 1.0, 2.0)),
    MadeMethod("kto_sft", 0.08),
)


def truth(weight: float, budget: float = 1.0) -> dict[str, float]:
    """The true frontier: a quarter ellipse in (win rate, designer), wider for a larger budget."""
    angle = np.pi / 2 * weight / (1 + weight)
    reach = 0.30 * np.sqrt(budget)
    designer = reach * np.sin(angle)
    return {
        "win_rate": 0.5 + reach * np.cos(angle),
        "toxicity": 0.45 - designer,
        "readability": 0.40 + designer,
    }


def expectations(method: MadeMethod, weight: float | None, size: str) -> dict[str, float]:
    """What a cell of this method, sweep value and size has in expectation."""
    best = truth(0.15 if weight is None else weight)
    penalty = method.shortfall + 0.03 * (size == "tiny")
    return {
        "win_rate": best["win_rate"] - penalty,
        "toxicity": best["toxicity"] + penalty,
        "readability": best["readability"] - penalty,
    }


def make(
    methods=METHODS,
    sizes=("tiny", "small"),
    seeds=(0, 1),
    prompts: int = 60,
    trials: int = 1,
    seed: int = 0,
    seed_sd: float = 0.01,
    prompt_sd: float = 0.08,
    missing: float = 0.0,
    failed: tuple[str, ...] = (),
    objectives=OBJECTIVES,
    with_truth: bool = True,
    with_generations: bool = True,
) -> Records:
    """Records of an experiment with known truth; `failed` names cells that did not train."""
    random = np.random.default_rng(seed)
    difficulty = random.normal(0, prompt_sd, prompts)
    cells, items, generations, measures, curves = [], [], [], [], []
    for size in sizes:
        for method in methods:
            for weight in method.sweep:
                point = f"{method.name}-{size}" + ("" if weight is None else f"-{weight:g}")
                for run in seeds:
                    cell = f"{point}-s{run}"
                    broken = cell in failed
                    cells.append(_cell(cell, point, method, weight, size, run, broken))
                    if broken:
                        continue
                    mean = expectations(method, weight, size)
                    moved = {name: value + random.normal(0, seed_sd) for name, value in mean.items()}
                    items += _items(random, cell, moved, difficulty, trials, missing, objectives)
                    measures += _measures(random, cell, method, mean)
                    curves += [CurvePoint(cell, step, "loss", 0.7 - 0.004 * step) for step in range(0, 50, 10)]
                    if with_generations:
                        generations += _generations(cell, method, prompts)
    return Records.build(
        objectives=objectives,
        cells=cells,
        items=items,
        generations=generations,
        measures=measures,
        truth=_truth(objectives) if with_truth else (),
        curves=curves,
    )


def write(folder: Path, records: Records, **manifest) -> Path:
    """A run folder: `records/` and `manifest.json`."""
    records.write(folder / "records")
    manifest = {
        "experiment": {"name": "made", "title": "A made-up comparison", "description": "Known truth, no training."},
        "caveat": CAVEAT,
        "command": "prefrontier run made --out runs/made",
        "git_commit": "0123abc",
        "versions": {"python": "3.11.7", "torch": "2.13.0"},
    } | manifest
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def _cell(cell, point, method, weight, size, run, broken) -> Cell:
    label = method.name.upper() + ("" if weight is None else f" w={weight:g}")
    return Cell(
        cell=cell,
        point=point,
        method=method.name,
        label=label,
        size=size,
        seed=run,
        parameters={"beta": 0.5} | ({} if weight is None else {"weight": weight}),
        sweep=None if weight is None else "weight",
        sweep_value=weight,
        status="failed" if broken else "ok",
        error="loss is NaN at step 17 (ids p3, p9)" if broken else "",
        n_parameters={"tiny": 140_000}.get(size, 1_100_000),
        train_seconds=0.0 if broken else 12.5,
        evaluate_seconds=0.0 if broken else 3.25,
        trained_tokens=0 if broken else 250_000,
        generated_tokens=0 if broken else 9_000,
        checkpoint=f"store/{cell}",
        command=f"prefrontier run made --cell {cell}",
    )


def _items(random, cell, mean, difficulty, trials, missing, objectives) -> list[ItemScore]:
    rows = []
    sign = {"win_rate": 1, "toxicity": -1, "readability": 1}
    for objective in objectives:
        name = objective.name
        for prompt, offset in enumerate(difficulty):
            for trial in range(trials):
                probability = float(np.clip(mean[name] + sign[name] * offset, 0.001, 0.999))
                if name == "win_rate":
                    value = float(random.random() < probability)
                    detail = {"len_policy": int(random.integers(20, 60)), "len_reference": 40}
                else:
                    value, detail = float(random.beta(8 * probability, 8 * (1 - probability))), {}
                lost = random.random() < missing
                rows.append(
                    ItemScore(
                        objective=name,
                        item=f"p{prompt}#{trial}",
                        cluster=f"p{prompt}",
                        value=None if lost else value,
                        status=Status.UNPARSABLE if lost else Status.OK,
                        trial=trial,
                        cell=cell,
                        detail=detail,
                    )
                )
    return rows


def _measures(random, cell, method, mean) -> list[Measure]:
    drift = 0.3 + method.shortfall
    exact = dict(mean) | {
        "kl": drift,
        "mass_off_grammar": 0.02,
        "gap": method.shortfall + random.normal(0, 0.002),
        "hypervolume_share": 0.9,
    }
    health = {
        "chosen_logp_shift": -2.0 + random.normal(0, 0.1),
        "rejected_logp_shift": -6.0 + random.normal(0, 0.1),
        "kl": drift,
        "mean_length": 31.0,
        "eos_rate": 0.97,
    }
    summary = {"win_rate_length_controlled": mean["win_rate"] - 0.01, "distinct_1": 0.4}
    judge = {"order_disagreement": 0.03}
    groups = {"exact": exact, "health": health, "summary": summary, "judge": judge}
    return [Measure(group, name, float(value), cell) for group, row in groups.items() for name, value in row.items()]


def _generations(cell, method, prompts) -> list[Generation]:
    return [
        Generation(
            item=f"p{prompt}#0",
            cluster=f"p{prompt}",
            prompt=f"How do I reset router number {prompt}?",
            response="" if prompt == 5 else f"{method.name}: hold the small button for {prompt} seconds <b>& wait</b>.",
            n_tokens=12,
            status=Status.EMPTY if prompt == 5 else Status.OK,
            cell=cell,
            reference=f"Reference answer {prompt}.",
        )
        for prompt in range(min(prompts, 8))
    ]


def _truth(objectives) -> list[TruthPoint]:
    weights = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 10.0, 100.0]
    return [
        TruthPoint(budget, index, objective.name, float(truth(weight, budget)[objective.name]))
        for budget in (0.25, 1.0)
        for index, weight in enumerate(weights)
        for objective in objectives
    ]
