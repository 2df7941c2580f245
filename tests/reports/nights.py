"""Runs and nights with a known truth, for the tests of the gate.

The cells and items are those of `synthetic`; values are drawn anew as mean + seed + prompt + noise, so that two
runs share their prompts and differ in what seeds decide.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import yaml

from harness.records import Records
from reports.run_folder import Stored
from tests.reports import synthetic

METHODS = tuple(
    synthetic.MadeMethod(name, shortfall) for name, shortfall in (("sft", 0.18), ("dpo", 0.05), ("upo", 0.01))
)
EXPERIMENT = {
    "name": "made",
    "judge": {"kind": "oracle", "model": None},
    "decoding": {"temperature": 1.0, "samples": 1},
    "data": {"source": "oracle", "pairs": 64},
    "reference_point": {"win_rate": 0.0, "toxicity": 1.0},
    "training": {"learning_rate": 2e-4},
}
MANIFEST = {
    "expected_cells": None,
    "commit": "0123abc",
    "platform": "Linux",
    "cpus": 2,
    "libraries": {"textstat": "1", "torch": "2"},
}
SEED_SD, PROMPT_SD, NOISE_SD = 0.01, 0.1, 0.08
CENTER = {"win_rate": 0.6, "toxicity": 0.3}


@cache
def template(seeds: int = 2, prompts: int = 40, trials: int = 1) -> Records:
    return synthetic.make(
        methods=METHODS, sizes=("tiny",), seeds=tuple(range(seeds)), prompts=prompts, trials=trials,
        objectives=synthetic.OBJECTIVES[:2], with_truth=False, with_generations=False,
    )  # fmt: skip


def night(
    random: np.random.Generator,
    prompts: np.ndarray,
    shift=None,
    seeds: int = 2,
    seed_sd: float = SEED_SD,
    trials: int = 1,
) -> Records:
    """A run measured with these prompts' effects; `shift` maps (method, objective) to a true change."""
    records = template(seeds, len(prompts), trials)
    items, shift = records.items, shift or {}
    prompt = items.cluster.str[1:].astype(int).to_numpy()
    group = items.groupby(["cell", "objective"], sort=False).ngroup().to_numpy()
    method = items.cell.str.partition("-")[0]
    moved = np.array([shift.get(key, 0.0) for key in zip(method, items.objective, strict=True)])
    value = (
        items.objective.map(CENTER).to_numpy(float)
        + method.map({"sft": -0.05, "dpo": 0.0, "upo": 0.05}).to_numpy(float)
        + moved
        + random.normal(0, seed_sd, group.max() + 1)[group]
        + prompts[prompt]
        + random.normal(0, NOISE_SD, len(items))
    )
    return replace(records, items=items.assign(value=value))


def prompts(random: np.random.Generator, n: int = 40) -> np.ndarray:
    return random.normal(0, PROMPT_SD, n)


def stored(records: Records, name: str = "run", experiment=EXPERIMENT, **manifest) -> Stored:
    """A run in memory, as it would be read back."""
    return Stored(Path(name), records, experiment, MANIFEST | manifest, name)


def write(folder: Path, records: Records, experiment=EXPERIMENT, **manifest) -> Path:
    """A run on disk."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = MANIFEST | {"expected_cells": len(records.cells), "seconds": float(len(folder.name))}
    synthetic.write(folder, records, **(facts | manifest))
    (folder / "experiment.resolved.yaml").write_text(yaml.safe_dump(experiment))
    return folder
