"""Several samples of the base per prompt, told apart by their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import ResponseGroup
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("kwise")
@dataclass(frozen=True)
class KWise:
    """K samples of the base per prompt, with their rewards.

    Formula: (x, y_w, y_l) becomes (x, y_1 … y_K) with R(y_k) := a·r(y_k) + w·R(y_k), y_k samples of the base.
    Source: arXiv 2402.00856 (EXO-rw) and arXiv 2402.05369 (InfoNCA, NCA).
    From memory: nothing.
    Cost: K samples of the base per pair; training K/2.

    For `exo_reward`, `infonca`, `nca_reward` and `rrhf`, which see the compound reward as R. Prompts with fewer than K
    complete samples are left out.

    Parameters
    ----------
    responses : int, at least 2
        K.
    user_weight, designer_weight : float, in [0, inf)
        a and w, in nats per unit of the rewards.
    """

    responses: int = 4
    user_weight: float = 1.0
    designer_weight: float = 1.0

    needs: ClassVar[StepNeeds] = StepNeeds(samples=True, user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_weight"
    makes: ClassVar[type] = ResponseGroup
    tags: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_ranges(self, responses="[2, inf)", user_weight="[0, inf)", designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        compound = source.sampled.compound(self.user_weight, self.designer_weight)
        records, rewards = [], []
        for row, (pair, texts) in enumerate(zip(source.pairs, source.sampled.texts, strict=True)):
            usable = [(k, text) for k, text in enumerate(texts) if text is not None][: self.responses]
            if len(usable) == self.responses:
                records.append(ResponseGroup(pair.id, pair.prompt, tuple(text for _, text in usable)))
                rewards.append(compound[row, [k for k, _ in usable]])
        return Prepared(records, np.array(rewards), {"prompts_left_out": float(len(source.pairs) - len(records))})
