"""A small toxicity classifier in Detoxify's format, trained on the world's or the user's labelled texts."""

from __future__ import annotations

from suites.toxicity.classifier import ClassifierConfig, train_toxicity
from suites.toxicity.labels import read_labelled


def run(parameters, inputs, out, progress=None) -> None:
    source = inputs["labelled"] if "labelled" in inputs else inputs["data"] / "labelled.csv"
    labelled = read_labelled(source)
    train_toxicity(labelled.texts, labelled.labels, labelled.classes, out, ClassifierConfig(**parameters["training"]))
