"""A gold response for every pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("gold_responses")
@dataclass(frozen=True)
class GoldResponses:
    """A gold response for every pair.

    Formula: (x, y_w, y_l) becomes (x, y_w, y_l, y_g), y_g = argmax r(y) over y_w, y_l and the samples of a policy,
        r = user reward + w·R; the first of equally good ones.
    Source: arXiv 2405.16681, which takes the best of several scored responses.
    From memory: that the samples compete with the pair; the paper's responses come from one scored data set.
    Cost: the samples of the policy.

    For `tpo`.

    Parameters
    ----------
    designer_weight : float, in [0, inf)
        w, in nats per unit of R.
    """

    designer_weight: float = 0.0

    needs: ClassVar[StepNeeds] = StepNeeds(samples=True, user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_weight"
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()
    third_response: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_ranges(self, designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        sides = (source.dataset, source.sampled)
        rewards = np.hstack([side.compound(1.0, self.designer_weight) for side in sides])
        designer = np.hstack([side.designer_rewards for side in sides])
        best = np.nanargmax(rewards, axis=1)
        rows = np.arange(len(best))
        records = []
        for pair, sampled, k in zip(source.pairs, source.sampled.texts, best.tolist(), strict=True):
            gold = [pair.chosen, pair.rejected, *sampled][k]
            records.append(replace(pair, base_response=gold))
        own = source.dataset.designer_rewards
        facts = {"gold_from_samples": float((best >= own.shape[1]).mean())}
        return Prepared(records, np.column_stack([own, designer[rows, best]]), facts)
