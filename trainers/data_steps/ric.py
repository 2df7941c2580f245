"""Rewards-in-Context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.data.records import Example
from trainers.data_steps.conditioning import conditioned
from trainers.data_steps.step import Prepared, Source, StepNeeds, register
from trainers.methods.checks import check_choices, check_ranges

LIMIT = 9.9
"""z-scores are cut here, so that a score is a sign, a digit and a decimal."""


@register("ric")
@dataclass(frozen=True)
class RiC:
    """Rewards-in-Context, offline stage.

    Formula: (x, y) becomes (x <rm1> s_1 <rm2> s_2, y), s_i = z-score of y's reward i, rounded to one decimal (1: the
        users', 2: the designer's R); asked with s_i = min_i + g_i·(max_i − min_i), w = (1 − p, p), where g_i =
        min(2·w_i, 1) (rule l∞) or w_i/‖w‖₂ (rule l2).
    Source: arXiv 2402.10207 and the authors' code.
    From memory: nothing; the online rounds that follow in the paper are left out.
    Cost: that of SFT on twice the responses, 1; one policy for the whole frontier.

    For `sft`. Both responses of a pair are imitated; what is wanted of each is written in its prompt. The authors'
    rule l∞ asks for the maximum of an objective whose weight is at least an equal share. Their released evaluation takes
    the rule l2, with the extremes of 50,000 standard normal draws for min and max; here these are those of the training
    data under both rules.

    Parameters
    ----------
    designer_share : float, in [0, 1]
        p, the designer's weight at generation; the entries of a sweep share one trained policy.
    rule : {"linf", "l2"}
        How weights become targets.
    """

    designer_share: float = 0.5
    rule: str = "linf"

    needs: ClassVar[StepNeeds] = StepNeeds(user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_share"
    makes: ClassVar[type] = Example
    tags: ClassVar[tuple[str, ...]] = (" <rm1> <rm2> .", *(f" -{n} {n}.{n}" for n in range(10)))
    asks: ClassVar[tuple[str, ...]] = ("designer_share", "rule")

    def __post_init__(self) -> None:
        check_ranges(self, designer_share="[0, 1]")
        check_choices(self, rule=tuple(SHARES))

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        rewards = np.stack([source.dataset.user_rewards, source.dataset.designer_rewards], axis=-1)
        scores = z_scores(rewards.reshape(-1, 2)).reshape(rewards.shape)
        records = [
            Example(f"{pair.id}/{side}", conditioned(pair.prompt, wish(row[k])), getattr(pair, side), True)
            for pair, row in zip(source.pairs, scores, strict=True)
            for k, side in enumerate(("chosen", "rejected"))
        ]
        ends = {"min": scores.min(axis=(0, 1)), "max": scores.max(axis=(0, 1))}
        facts = {f"{end}_{i + 1}": float(values[i]) for end, values in ends.items() for i in range(2)}
        return Prepared(records, source.dataset.designer_rewards.reshape(-1, 1), facts)

    def condition(self, facts: Mapping[str, float]) -> str:
        low, high = (np.array([facts[f"{end}_1"], facts[f"{end}_2"]]) for end in ("min", "max"))
        return wish(targets(np.array([1 - self.designer_share, self.designer_share]), low, high, self.rule))


def z_scores(rewards: np.ndarray) -> np.ndarray:
    """Each column minus its mean, over its standard deviation; 0 where a reward is constant.

    Examples
    --------
    >>> z_scores(np.array([[1.0, 5.0], [3.0, 5.0]])).tolist()
    [[-1.0, 0.0], [1.0, 0.0]]
    """
    spread = rewards.std(axis=0)
    scores = (rewards - rewards.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    clipped: np.ndarray = np.clip(scores, -LIMIT, LIMIT)
    return clipped


def targets(weights: np.ndarray, low: np.ndarray, high: np.ndarray, rule: str = "linf") -> np.ndarray:
    """The scores that a prompt asks for: low + g·(high − low), g = min(n·w, 1) for n objectives or w/‖w‖₂.

    Examples
    --------
    >>> targets(np.array([0.75, 0.25]), np.array([-2.0, -2.0]), np.array([2.0, 2.0])).tolist()
    [2.0, 0.0]
    """
    wanted: np.ndarray = low + SHARES[rule](weights) * (high - low)
    return wanted


def wish(scores: Sequence[float] | np.ndarray) -> str:
    """Scores as the text that a prompt ends with.

    Examples
    --------
    >>> wish([-0.04, 1.25])
    ' <rm1> 0.0 <rm2> 1.2'
    """
    return "".join(f" <rm{i}> {round(float(score), 1) + 0.0:.1f}" for i, score in enumerate(scores, start=1))


SHARES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linf": lambda weights: np.minimum(len(weights) * weights, 1.0),
    "l2": lambda weights: weights / np.linalg.norm(weights),
}
"""g, by rule."""
