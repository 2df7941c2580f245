"""A response of the base for every pair."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("base_responses")
@dataclass(frozen=True)
class BaseResponses:
    """A response of the base for every pair.

    Formula: (x, y_w, y_l) becomes (x, y_w, y_l, y_b), y_b the first complete sample of the base.
    Source: arXiv 2407.00693.
    From memory: nothing.
    Cost: one sample of the base per pair.

    For `bapo`. Pairs for which the base gave no complete response are left out.
    """

    needs: ClassVar[StepNeeds] = StepNeeds(samples=True)
    sweep: ClassVar[str | None] = None
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()
    third_response: ClassVar[bool] = True

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        complete = [[(k, text) for k, text in enumerate(texts) if text is not None] for texts in source.sampled.texts]
        first = {row: responses[0] for row, responses in enumerate(complete) if responses}
        rows = list(first)
        records = [replace(source.pairs[row], base_response=text) for row, (_, text) in first.items()]
        facts = {"pairs_left_out": float(len(complete) - len(rows))}
        if source.dataset.designer is None:
            return Prepared(records, None, facts)
        base = np.array([source.sampled.designer_rewards[row, k] for row, (k, _) in first.items()])
        return Prepared(records, np.column_stack([source.dataset.designer_rewards[rows], base]), facts)
