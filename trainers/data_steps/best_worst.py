"""The best against the worst of a policy's samples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, ranked_pair, register


@register("best_worst")
@dataclass(frozen=True)
class BestWorst:
    """The best of a policy's samples against the worst.

    Formula: y_w = argmax_k r(y_k), y_l = argmin_k r(y_k) over the samples for a prompt, r = user reward + w·R.
    Source: arXiv 2410.06293, section 4 (five samples, ranked by a reward model).
    From memory: nothing.
    Cost: the samples of the policy.

    The data of iterative preference optimization (see the outer loop `rounds`). Prompts whose samples are all equal
    or equally good are left out.

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

    def __post_init__(self) -> None:
        check_ranges(self, designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        rewards = source.sampled.compound(1.0, self.designer_weight)
        records, designer = [], []
        for row, (like, texts) in enumerate(zip(source.pairs, source.sampled.texts, strict=True)):
            usable = {k: text for k, text in enumerate(texts) if text is not None}
            if not usable:
                continue
            ends = [max(usable, key=lambda k: rewards[row, k]), min(usable, key=lambda k: rewards[row, k])]
            pair = ranked_pair(like, like.id, [usable[k] for k in ends], rewards[row, ends])
            if pair is not None:
                records.append(pair)
                designer.append(source.sampled.designer_rewards[row, ends])
        return Prepared(records, np.array(designer), {"pairs": float(len(records))})
