"""Rejected responses built from the base's own samples."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trainers.checks import check_choices, check_ranges
from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("built_negatives")
@dataclass(frozen=True)
class BuiltNegatives:
    """RosePO's rejected responses, built from the base's own samples.

    Formula: y_l := the sample of the base, other than y_w, that is worst by r = user reward + w·R (self_hard), shares
        the most words with y_w (similar), or was drawn most often for the prompt (popular); R := r for the loss.
    Source: arXiv 2410.12519, whose items of a recommender become responses here.
    From memory: nothing of the paper; that samples of the base stand for its wrong answers is this project's analogue.
    Cost: the samples of the base.

    For `rosepo`, whose smoothing takes r as its oracle, or any pairwise method. Pairs without another complete sample
    are left out.

    Parameters
    ----------
    negatives : {"self_hard", "similar", "popular"}
        What makes a sample the rejected response.
    designer_weight : float, in [0, inf)
        w, in nats per unit of R.
    """

    negatives: str = "self_hard"
    designer_weight: float = 1.0

    needs: ClassVar[StepNeeds] = StepNeeds(samples=True, user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_weight"
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_choices(self, negatives=tuple(HARDNESS))
        check_ranges(self, designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        sampled, dataset_reward = (
            part.compound(1.0, self.designer_weight) for part in (source.sampled, source.dataset)
        )
        drawn: dict[str, Counter[str]] = {}
        for pair, texts in zip(source.pairs, source.sampled.texts, strict=True):
            drawn.setdefault(json.dumps(pair.prompt), Counter()).update(map(json.dumps, texts))
        hardness = HARDNESS[self.negatives]
        records, rewards = [], []
        for row, (pair, texts) in enumerate(zip(source.pairs, source.sampled.texts, strict=True)):
            usable = {k: text for k, text in enumerate(texts) if text is not None and text != pair.chosen}
            if usable:
                seen = drawn[json.dumps(pair.prompt)]
                chosen = json.dumps(pair.chosen)
                worst = max(usable, key=lambda k: hardness(chosen, json.dumps(texts[k]), sampled[row, k], seen))
                records.append(replace(pair, rejected=usable[worst]))
                rewards.append([dataset_reward[row, 0], sampled[row, worst]])
        return Prepared(records, np.array(rewards), {"pairs_left_out": float(len(source.pairs) - len(records))})


def overlap(first: str, second: str) -> float:
    """Share of words that two texts have in common (Jaccard).

    Examples
    --------
    >>> overlap("a b c", "b c d")
    0.5
    """
    one, other = set(first.split()), set(second.split())
    return len(one & other) / len(one | other)


HARDNESS: dict[str, Callable[[str, str, float, Counter[str]], float]] = {
    "self_hard": lambda chosen, text, reward, drawn: -reward,
    "similar": lambda chosen, text, reward, drawn: overlap(chosen, text),
    "popular": lambda chosen, text, reward, drawn: drawn[text],
}
"""How hard a negative is, from the chosen response, the text, its reward and how often each text was drawn."""
