"""Stage ``train_toxicity``: a small toxicity classifier in Detoxify's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from suites.toxicity.classifier import ClassifierConfig, train_toxicity
from suites.toxicity.labels import read_labelled

if TYPE_CHECKING:
    from harness.stages.interface import Inputs, Parameters, Progress


def run(parameters: Parameters, inputs: Inputs, out: Path, progress: Progress = None) -> None:
    source = inputs["labelled"] if "labelled" in inputs else inputs["data"] / "labelled.csv"
    labelled = read_labelled(source)
    train_toxicity(labelled.texts, labelled.labels, labelled.classes, out, ClassifierConfig(**parameters["training"]))
