"""Pairs labelled again by a compound reward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, register


@register("relabel")
@dataclass(frozen=True)
class Relabel:
    """Pairs labelled again by user reward and designer reward.

    Formula: P(y_1 ≻ y_2) = σ(a·Δr + w·ΔR), drawn with the luck of the old label: the uniform number behind it is
        drawn from those that give the old label under σ(Δr), and the new label is what it gives under the new odds.
    Source: arXiv 2405.17956 (the compound-reward baseline its reviewers asked for; no arXiv id for the coupling).
    From memory: nothing.
    Cost: nothing beyond the rewards.

    For any method on pairs. Where the old labels follow σ(Δr) the new ones follow the compound odds exactly, and a
    label changes only as often as the two odds demand: with a = 1 and w = 0 none does. DPO on such pairs aims at the
    policy proportional to π_ref·exp((a·r + w·R)/β).

    Parameters
    ----------
    user_weight : float, in [0, inf)
        a; 0 labels by the designer alone.
    designer_weight : float, in [0, inf)
        w, in nats per unit of R.
    """

    user_weight: float = 1.0
    designer_weight: float = 1.0

    needs: ClassVar[StepNeeds] = StepNeeds(user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_weight"
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_ranges(self, user_weight="[0, inf)", designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        old = source.dataset.user_rewards[:, 0] - source.dataset.user_rewards[:, 1]
        compound = source.dataset.compound(self.user_weight, self.designer_weight)
        unchanged = still_chosen(old, compound[:, 0] - compound[:, 1], rng.random(len(old)))
        records = [
            pair if keep else replace(pair, chosen=pair.rejected, rejected=pair.chosen)
            for pair, keep in zip(source.pairs, unchanged, strict=True)
        ]
        rewards = np.where(
            unchanged[:, None], source.dataset.designer_rewards, source.dataset.designer_rewards[:, ::-1]
        )
        return Prepared(records, rewards, {"labels_changed": float(1 - unchanged.mean())})


def still_chosen(old: np.ndarray, new: np.ndarray, luck: np.ndarray) -> np.ndarray:
    """Whether the chosen response stays chosen when its log-odds change from `old` to `new`.

    It was chosen because a uniform number fell below σ(old); given that, it falls below σ(new) with
    probability min(1, σ(new)/σ(old)).

    Examples
    --------
    >>> still_chosen(np.array([0.0, 0.0]), np.array([0.0, -1.0]), np.array([0.9, 0.9])).tolist()
    [True, False]
    """
    keeps: np.ndarray = np.log(np.maximum(luck, np.finfo(float).tiny)) - np.logaddexp(0, -old) <= -np.logaddexp(0, -new)
    return keeps
