"""Statistical rejection sampling."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.checks import check_ranges
from trainers.data.records import Pair
from trainers.data_steps.step import Prepared, Source, StepNeeds, ranked_pair, register


@register("rso")
@dataclass(frozen=True)
class RSO:
    """Statistical rejection sampling from the base.

    Formula: a sample y of the base is accepted with probability exp((r − r_max)/β), r_max over the samples that are
        left, round after round until enough are; accepted samples are paired at random, the larger r is chosen.
    Source: arXiv 2309.06657.
    From memory: the procedure and β = 0.5 (the paper has 64 samples and keeps 8).
    Cost: the samples of the base.

    For `rso_sigmoid`, `rso_hinge` or any pairwise method. r = user reward + w·R; the paper's ranker is r with w = 0.
    A prompt that occurs in several pairs of the data has the samples of all of them, and as many pairs are made for it
    as it had; pairs of equal texts or rewards are left out. β → 0 keeps the best samples, β → ∞ the first.

    Parameters
    ----------
    rejection_temperature : float, in (0, inf)
        β, in units of the reward.
    designer_weight : float, in [0, inf)
        w, in nats per unit of R.
    """

    rejection_temperature: float = 0.5
    designer_weight: float = 0.0

    needs: ClassVar[StepNeeds] = StepNeeds(samples=True, user=True, designer=True)
    sweep: ClassVar[str | None] = "rejection_temperature"
    makes: ClassVar[type] = Pair
    tags: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        check_ranges(self, rejection_temperature="(0, inf)", designer_weight="[0, inf)")

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        rewards = source.sampled.compound(1.0, self.designer_weight)
        rows_of: dict[str, list[int]] = {}
        for row, pair in enumerate(source.pairs):
            rows_of.setdefault(json.dumps(pair.prompt), []).append(row)
        records, designer, drawn, n_accepted = [], [], 0, 0
        for rows in rows_of.values():
            pool = [(row, k) for row in rows for k, text in enumerate(source.sampled.texts[row]) if text is not None]
            accepted = accept([rewards[at] for at in pool], self.rejection_temperature, 2 * len(rows), rng)
            drawn, n_accepted = drawn + len(pool), n_accepted + len(accepted)
            chance = [pool[i] for i in rng.permutation(accepted)]
            for number, two in enumerate(zip(chance[::2], chance[1::2], strict=False)):
                first = source.pairs[rows[0]]
                texts, values = [source.sampled.texts[row][k] for row, k in two], [rewards[at] for at in two]
                ranked = ranked_pair(first, f"{first.id}/rso-{number}", texts, values)
                if ranked is not None:
                    records.append(ranked)
                    order = two if values[0] > values[1] else two[::-1]
                    designer.append([source.sampled.designer_rewards[at] for at in order])
        return Prepared(
            records, np.array(designer), {"accepted": n_accepted / max(drawn, 1), "pairs": float(len(records))}
        )


def accept(rewards: Sequence[float], temperature: float, wanted: int, rng: np.random.Generator) -> list[int]:
    """Indices accepted by rejection sampling without replacement, in the order of acceptance.

    Parameters
    ----------
    rewards : sequence of float, finite
    temperature : float, in (0, inf)
    wanted : int
        How many are to be accepted; fewer if there are fewer.

    Examples
    --------
    >>> accept([0.1, 0.9, 0.5], 1e-6, 2, np.random.default_rng(0))
    [1, 2]
    """
    left = list(range(len(rewards)))
    accepted: list[int] = []
    while left and len(accepted) < wanted:
        best = max(rewards[i] for i in left)
        chances = np.exp([(rewards[i] - best) / temperature for i in left])
        passed = np.array(left)[rng.random(len(left)) < chances]
        accepted += passed[: wanted - len(accepted)].tolist()
        left = sorted(set(left).difference(accepted))
    return accepted
