"""A synthetic comparison of forty methods, for visual checks: `python -m tests.reports.forty FOLDER`."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from harness.records import Records
from reports.build import build
from tests.reports import synthetic


def records(methods: int = 40, settings: int = 3, seeds: int = 3, prompts: int = 90, seed: int = 0) -> Records:
    """Methods with shortfalls of 0.01 to 0.2, in an order that says nothing about them."""
    shortfall = np.random.default_rng(seed).permutation(np.linspace(0.01, 0.2, methods))
    made = [
        synthetic.MadeMethod(f"method_{i:02}", float(short), tuple(float(w) for w in np.geomspace(0.5, 4, settings)))
        for i, short in enumerate(shortfall)
    ]
    return synthetic.make(made, ("tiny",), tuple(range(seeds)), prompts, seed=seed, objectives=synthetic.OBJECTIVES[:2])


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    print(build(synthetic.write(folder, records())))
