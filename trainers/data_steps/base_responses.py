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

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        first = [next((k for k, t in enumerate(texts) if t is not None), None) for texts in source.samples.texts]
        rows = [row for row, k in enumerate(first) if k is not None]
        records = [replace(source.pairs[row], base_response=source.samples.texts[row][first[row]]) for row in rows]
        facts = {"pairs_left_out": float(len(first) - len(rows))}
        if source.dataset.designer is None:
            return Prepared(records, None, facts)
        base = np.array([source.samples.designer[row, first[row]] for row in rows])
        return Prepared(records, np.column_stack([source.dataset.designer[rows], base]), facts)
