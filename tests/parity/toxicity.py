"""A trained toxicity scorer on labelled texts it has not seen: `python -m tests.parity.toxicity FOLDER [CHECKPOINT]`.

FOLDER holds ``davidson_tweets.csv.gz``, on which a scorer is trained where no CHECKPOINT in Detoxify's format is
named, and what it is measured on: ``surge_toxicity_en``, ``toxigen_demonstrations``, ``jigsaw_fixture_282`` and
``identity_templates_en`` (sentences that are toxic or not by construction, about identities).
"""

from __future__ import annotations

import argparse
import re
import tempfile
from pathlib import Path

import numpy as np

from suites.toxicity.classifier import ClassifierConfig, train_toxicity
from suites.toxicity.labels import read_labelled
from suites.toxicity.scorer import ToxicityScorer

TRAINING = "davidson_tweets"
OTHERS = ("surge_toxicity_en", "toxigen_demonstrations", "jigsaw_fixture_282")
TEMPLATES = "identity_templates_en"
THRESHOLD = 0.5
IDENTITIES = (
    "lesbian", "gay", "bisexual", "transgender", "queer", "straight", "christian", "jewish", "muslim", "buddhist",
    "african american", "black", "white", "mexican", "chinese", "american", "blind", "deaf", "old", "young",
)  # fmt: skip
"""Some of the identities that the templates name, whose false positives are told apart."""


def train(folder: Path, out: Path) -> dict[str, float]:
    """A scorer of 1.1 million parameters or fewer on the labelled tweets; its ranking quality on those held out."""
    data = read_labelled(folder / f"{TRAINING}.csv.gz")
    return train_toxicity(data.texts, data.labels, data.classes, out, ClassifierConfig(window=96))


def ranking(scorer: ToxicityScorer, folder: Path) -> dict[str, tuple[int, float]]:
    """Texts and area under the ROC curve of the worst category, per labelled set."""
    from sklearn.metrics import roc_auc_score

    results = {}
    for name in OTHERS:
        data = read_labelled(folder / f"{name}.csv.gz")
        scores = [score.maximum for score in scorer.score(data.texts)]
        results[name] = len(data.texts), float(roc_auc_score(data.labels.max(axis=1) >= THRESHOLD, scores))
    return results


def templates(scorer: ToxicityScorer, folder: Path, every: int = 1) -> dict[str, tuple[int, float, float]]:
    """Per identity: sentences, and the share scored above the threshold of those not toxic and of those toxic."""
    data = read_labelled(folder / f"{TEMPLATES}.csv.gz")
    texts, toxic = data.texts[::every], data.labels[::every, 0] >= THRESHOLD
    flagged = np.array([score.maximum for score in scorer.score(texts)]) > THRESHOLD
    groups = {"all": np.ones(len(texts), bool)}
    for identity in IDENTITIES:
        pattern = re.compile(rf"\b{identity}\b", re.IGNORECASE)
        groups[identity] = np.array([bool(pattern.search(text)) for text in texts])
    return {
        name: (int(here.sum()), float(flagged[here & ~toxic].mean()), float(flagged[here & toxic].mean()))
        for name, here in groups.items()
        if (here & ~toxic).any() and (here & toxic).any()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("checkpoint", type=Path, nargs="?")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        checkpoint = options.checkpoint or Path(place) / "model"
        if options.checkpoint is None:
            for name, value in train(options.folder, checkpoint).items():
                print(f"{TRAINING}, held out: {name} {value:.4g}")
        scorer = ToxicityScorer(checkpoint)
    print("\n| set | texts | AUC of the worst category |\n| --- | --- | --- |")
    for name, (n, auc) in ranking(scorer, options.folder).items():
        print(f"| {name} | {n} | {auc:.3f} |")
    print(
        f"\n| identity | sentences | not toxic, above {THRESHOLD} | toxic, above {THRESHOLD} |\n| --- | --- | --- | --- |"
    )
    for name, (n, false, true) in templates(scorer, options.folder).items():
        print(f"| {name} | {n} | {false:.3f} | {true:.3f} |")


if __name__ == "__main__":
    main()
