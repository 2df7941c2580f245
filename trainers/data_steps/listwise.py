"""All responses that the data have to a prompt, told apart by their rewards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import Pair, ResponseGroup, Text
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("listwise")
@dataclass(frozen=True)
class Listwise:
    """K responses of the data to each prompt, with their rewards.

    Formula: the pairs of x become (x, y_1 … y_K) with R(y_k) := a·r(y_k) + w·R(y_k), y_k the distinct responses of the data.
    Source: arXiv 2402.05369 (InfoNCA, NCA), on UltraFeedback's four responses.
    From memory: nothing.
    Cost: training K/2 per prompt instead of 1 per pair.

    For `exo_reward`, `infonca`, `nca_reward` and `rrhf` on ranked or rated data, whose form gives several pairs to a prompt.
    With `user_weight` 0 and a score of the data as the designer reward, R is that score. Prompts with fewer than K
    responses are left out, and so are responses beyond the first K.

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

    needs: ClassVar[StepNeeds] = StepNeeds(user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_weight"
    makes: ClassVar[type] = ResponseGroup
    tags: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_ranges(self, responses="[2, inf)", user_weight="[0, inf)", designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        compound = source.dataset.compound(self.user_weight, self.designer_weight)
        first: dict[str, Pair] = {}
        rewards: dict[str, dict[str, tuple[Text, float]]] = {}
        for pair, of_pair in zip(source.pairs, compound, strict=True):
            first.setdefault(repr(pair.prompt), pair)
            responses = rewards.setdefault(repr(pair.prompt), {})
            for text, reward in zip((pair.chosen, pair.rejected), of_pair, strict=True):
                responses.setdefault(repr(text), (text, float(reward)))
        groups = {
            prompt: list(responses.values())[: self.responses]
            for prompt, responses in rewards.items()
            if len(responses) >= self.responses
        }
        records = [
            ResponseGroup(first[prompt].id, first[prompt].prompt, tuple(text for text, _ in responses))
            for prompt, responses in groups.items()
        ]
        return Prepared(
            records,
            np.array([[reward for _, reward in responses] for responses in groups.values()]),
            {"prompts_left_out": float(len(rewards) - len(groups))},
        )
