"""Paths that tests in several folders use."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("PREFRONTIER_SHARED_DATA", ROOT.parent / "shared" / "data"))
"""Real data sets for tests and benchmarks; whatever reads them skips where they are absent."""

TOY = str(ROOT / "tests" / "harness" / "toy.yaml")
RECIPES = str(ROOT / "tests" / "harness" / "recipes.yaml")
