"""Checkpoints of training artifacts and the results that lie beside them."""

from __future__ import annotations

import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.store.names import CHECKPOINT, RESUME

if TYPE_CHECKING:
    from trainers.config import TrainResult


def checkpoint_folder(out: Path) -> Path:
    """Empty folder for the checkpoint of an unfinished artifact; what lies beside it survives a kill."""
    folder = out / RESUME / CHECKPOINT
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    return folder


def model_folder(source: Path) -> Path:
    """The checkpoint of an artifact, or a model folder of the user's as it is."""
    return source / CHECKPOINT if (source / CHECKPOINT).is_dir() else source


def write_result(out: Path, result: TrainResult) -> None:
    """Move a finished checkpoint into the artifact and write what training reported beside it."""
    result.checkpoint.replace(out / CHECKPOINT)
    describe_checkpoint(out, **{name: value for name, value in asdict(result).items() if name != "checkpoint"})


def describe_checkpoint(out: Path, **reported: Any) -> None:
    """Write ``result.json``: the number of weights, and what training reported if it was trained here."""
    (out / "result.json").write_text(json.dumps({**reported, "n_parameters": count_parameters(out / CHECKPOINT)}))


def count_parameters(checkpoint: Path) -> int:
    """Number of weights stored in a folder of safetensors; tied ones are stored once."""
    from safetensors import safe_open

    total = 0
    for file in checkpoint.glob("*.safetensors"):
        with safe_open(file, framework="np") as tensors:
            names = tensors.keys()
            total += sum(math.prod(tensors.get_slice(name).get_shape()) for name in names)
    return total
