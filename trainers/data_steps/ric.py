"""Rewards-in-Context."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from trainers.checks import check_choices, check_ranges
from trainers.data.records import Example
from trainers.data_steps.conditioning import conditioned
from trainers.data_steps.step import Prepared, Responses, Source, StepNeeds, register

LIMIT = 9.9
"""z-scores are cut here, so that a score is a sign, a digit and a decimal."""


@register("ric")
@dataclass(frozen=True)
class RiC:
    """Rewards-in-Context.

    Name: RiC
    Formula: (x, y) becomes (x <rm1> s_1 <rm2> s_2, y), s_i = z-score of y's reward i, rounded to one decimal (1: the
        users', 2: the designer's R); asked with s_i = min_i + g_i·(max_i − min_i), w = (1 − p, p), where g_i =
        min(2·w_i, 1) (rule l∞) or w_i/‖w‖₂ (rule l2). Online: y ~ π(·|x, s) with s_i = max_i but for one i, whose s_i is
        uniform; kept, with the scores that y has, where some score is at least its q-quantile.
    Source: arXiv 2402.10207 and the authors' code.
    From memory: nothing.
    Cost: that of SFT on twice the responses, 1; one policy for the whole frontier. Each online round adds its samples.

    For `sft`. Both responses of a pair are imitated; what is wanted of each is written in its prompt. The authors'
    rule l∞ asks for the maximum of an objective whose weight is at least an equal share. Their released evaluation takes
    the rule l2, with the extremes of 50,000 standard normal draws for min and max; here these are those of the training
    data under both rules.

    With `rounds: {count: n}`, the first round is the offline stage, and each further one samples responses to the prompts
    of the pairs, asked for scores near the frontier, and goes on from the policy before it with the best of them beside
    the best of the pairs' responses, at most half as many as there are samples. The paper has one or two such rounds, at
    a lower learning rate; its second round keeps the samples of the first, and here each round has its own.

    Parameters
    ----------
    designer_share : float, in [0, 1]
        p, the designer's weight at generation; the entries of a sweep share one trained policy.
    rule : {"linf", "l2"}
        How weights become targets.
    quantile : float, in [0, 1)
        q, of the online rounds.
    """

    designer_share: float = 0.5
    rule: str = "linf"
    quantile: float = 0.7

    needs: ClassVar[StepNeeds] = StepNeeds(user=True, designer=True)
    sweep: ClassVar[str | None] = "designer_share"
    makes: ClassVar[type] = Example
    tags: ClassVar[tuple[str, ...]] = (" <rm1> <rm2> .", *(f" -{n} {n}.{n}" for n in range(10)))
    asks: ClassVar[tuple[str, ...]] = ("designer_share", "rule")

    def __post_init__(self) -> None:
        check_ranges(self, designer_share="[0, 1]", quantile="[0, 1)")
        check_choices(self, rule=tuple(SHARES))

    def prepare(self, source: Source, rng: np.random.Generator) -> Prepared:
        rewards = _rewards(source.dataset)
        scores = z_scores(rewards, rewards)
        records = [
            Example(f"{pair.id}/{side}", conditioned(pair.prompt, wish(row[k])), getattr(pair, side), True)
            for pair, row in zip(source.pairs, scores, strict=True)
            for k, side in enumerate(("chosen", "rejected"))
        ]
        ends = {"min": scores.min(axis=(0, 1)), "max": scores.max(axis=(0, 1))}
        facts = {f"{end}_{i + 1}": float(values[i]) for end, values in ends.items() for i in range(2)}
        return Prepared(records, source.dataset.designer_rewards.reshape(-1, 1), facts)

    def wishes(self, facts: Mapping[str, float], count: int, rng: np.random.Generator) -> list[str]:
        """Scores near the frontier: the largest of every objective but one, whose score is uniform."""
        low, high = (np.array([facts[f"{end}_1"], facts[f"{end}_2"]]) for end in ("min", "max"))
        asked = rng.uniform(low, high, (count, 2))
        scores = np.where(np.arange(2) == ((asked - low) / (high - low)).argmin(axis=1)[:, None], asked, high)
        return [wish(row) for row in scores]

    def prepare_online(self, source: Source, rng: np.random.Generator) -> Prepared:
        """The best of the samples and of the pairs' responses, each with the scores that it has."""
        of_pairs, drawn = _rewards(source.dataset), _rewards(source.sampled)
        samples, pairs = z_scores(drawn, of_pairs), z_scores(of_pairs, of_pairs)
        texts = [[pair.chosen, pair.rejected] for pair in source.pairs]
        own = [(row, k) for row, k in best(samples, self.quantile) if source.sampled.texts[row][k] is not None]
        others = rng.permutation(best(pairs, self.quantile))[: samples.shape[0] * samples.shape[1] // 2]
        records, rewards = [], []
        for kind, places, scores, of, responses in (
            ("sample", own, samples, source.sampled, source.sampled.texts),
            ("given", sorted(map(tuple, others.tolist())), pairs, source.dataset, texts),
        ):
            for row, k in places:
                pair, text = source.pairs[row], responses[row][k]
                if text is not None:
                    prompt = conditioned(pair.prompt, wish(scores[row, k]))
                    records.append(Example(f"{pair.id}/{kind}_{k}", prompt, text, True))
                    rewards.append(of.designer_rewards[row, k])
        return Prepared(records, np.array(rewards)[:, None], {"samples_kept": float(len(own))})

    def condition(self, facts: Mapping[str, float]) -> str:
        low, high = (np.array([facts[f"{end}_1"], facts[f"{end}_2"]]) for end in ("min", "max"))
        return wish(targets(np.array([1 - self.designer_share, self.designer_share]), low, high, self.rule))


def _rewards(responses: Responses) -> np.ndarray:
    """The users' reward and the designer's of every response, shape (N, K, 2)."""
    return np.stack([responses.user_rewards, responses.designer_rewards], axis=-1)


def best(scores: np.ndarray, quantile: float) -> list[tuple[int, int]]:
    """Places of the responses of which some score is at least its quantile over all that have one.

    Parameters
    ----------
    scores : ndarray, shape (N, K, 2)
        NaN where there is no response.

    Examples
    --------
    >>> best(np.array([[[0.0, 9.0], [1.0, 0.0]], [[2.0, 0.0], [np.nan, np.nan]]]), 0.9)
    [(0, 0), (1, 0)]
    """
    reached = scores >= np.nanquantile(scores, quantile, axis=(0, 1))
    return [(int(row), int(k)) for row, k in np.argwhere(reached.any(axis=-1))]


def z_scores(rewards: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Each reward minus the mean of `like`, over its standard deviation; 0 where `like` is constant.

    Parameters
    ----------
    rewards, like : ndarray, shape (N, K, 2)

    Examples
    --------
    >>> z_scores(np.array([[[1.0, 5.0], [3.0, 5.0]]]), np.array([[[1.0, 5.0], [3.0, 5.0]]])).tolist()
    [[[-1.0, 0.0], [1.0, 0.0]]]
    """
    spread = like.std(axis=(0, 1))
    scores = np.where(spread > 0, rewards - like.mean(axis=(0, 1)), 0.0 * rewards) / np.where(spread > 0, spread, 1.0)
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
