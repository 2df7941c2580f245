"""Stage ``base``: the starting point of all methods, pretrained from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.store.checkpoints import checkpoint_folder, write_result
from trainers.config import ModelConfig, TrainConfig
from trainers.pretrain import pretrain

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    result = pretrain(
        corpus=inputs["data"] / "corpus.jsonl",
        tokenizer=inputs["tokenizer"],
        model=ModelConfig(**parameters["model"]),
        config=TrainConfig(**parameters["training"]),
        out=checkpoint_folder(out),
        progress=progress,
    )
    write_result(out, result)
