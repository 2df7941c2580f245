"""Preference win rate through alpaca-eval: both response orders, raw and length-controlled."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from harness.records import Generation, ItemScore, Measure, Objective, Status
from suites.alpaca import length_control
from suites.alpaca.annotator import annotate, raw_win_rate
from suites.items import is_empty, is_scorable, item_score
from suites.judges.protocol import Judge, Verdict

WIN_RATE = Objective("win_rate", "Win rate against the reference", "maximize", "probability", (0.0, 1.0), "user")
WIN_RATE_SECOND = Objective(
    "win_rate_second", "Win rate by the second judge", "maximize", "probability", (0.0, 1.0), "user"
)


@dataclass(frozen=True)
class WinRate:
    """Items of a win-rate objective and the figures that belong beside it."""

    items: list[ItemScore]
    measures: list[Measure]


@dataclass(frozen=True)
class _Comparison:
    """P(the policy's response is better), as judged in each order."""

    policy_second: float | None
    policy_first: float | None
    status: Status
    reasons: tuple[str, ...] = ()
    cost: float = 0.0

    @property
    def value(self) -> float | None:
        if self.policy_first is None or self.policy_second is None:
            return None
        return (self.policy_first + self.policy_second) / 2


REPEATED = 32
"""Largest number of pairs that are judged a second time to measure the judge's repeat disagreement."""


def win_rate(
    generations: Sequence[Generation],
    references: Mapping[str, str],
    judge: Judge,
    again: Judge | None = None,
    objective: Objective = WIN_RATE,
    note_judge: bool = False,
) -> WinRate:
    r"""Compare every generation with its prompt's reference response.

    The value of an item is the mean over the two response orders of the judge's probability that the
    policy's response is the better one; alpaca-eval carries it as the preference 1 + p. Equal texts give 0.5
    unjudged, an empty generation loses (0, ``empty``), a verdict missing in either order leaves a row
    without a value and with the verdict's status.

    Measures, all as shares or characters: ``win_rate`` and its ``win_rate_standard_error`` (alpaca-eval's raw
    rate over the items with a value), ``discrete_win_rate`` (preferences rounded to win, draw, loss),
    ``length_controlled_win_rate`` (absent for fewer than 20 items or where all length differences are equal),
    ``mean_characters`` and ``mean_characters_reference`` over the same items; group ``judge``:
    ``order_disagreement`` (share of judged pairs whose winner changes with the order),
    ``first_position_bias`` (mean probability of the first position above 1/2), ``judge_missing``
    (share of generations to be judged that have no value), ``judge_unparsable`` (share whose missing verdict is one that
    could not be read) and, with `again`, ``repeat_disagreement`` (share of the pairs judged twice in the same order whose
    winner changes); ``judge_cost`` (dollars, the repeated questions left out) where the judge charges.

    Parameters
    ----------
    generations : sequence of Generation
        Item names must be unique.
    references : mapping of str to str
        A response for every prompt (cluster).
    judge : Judge
    again : Judge, optional
        The same judge without its cache; it judges a sample of `REPEATED` pairs a second time.
    objective : Objective
        Under which name the items go.
    note_judge : bool
        Write the judge's name and revision into every item, so that items of different judges are never compared:
        for judges that a run does not train itself.

    Raises
    ------
    ValueError
        For a prompt without a reference, a duplicate item, or a judge that answers out of range.

    Examples
    --------
    >>> class Longer:
    ...     name, revision = "longer", "1"
    ...     def prefer(self, prompts, first, second):
    ...         return [Verdict(float(len(a) > len(b))) for a, b in zip(first, second)]
    >>> result = win_rate([Generation("p0#0", "p0", "Hi", "Good morning", 3)], {"p0": "Hello"}, Longer())
    >>> result.items[0].value
    1.0
    """
    _check(generations, references)
    judged = [generation for generation in generations if is_scorable(generation)]
    comparisons = dict(
        zip((generation.item for generation in judged), _compare(judged, references, judge), strict=True)
    )
    noted = {"judge": judge.name, "judge_revision": judge.revision} if note_judge else {}
    items = [_item(objective, generation, comparisons.get(generation.item), noted) for generation in generations]
    cell = generations[0].cell if generations else ""
    valued = [(g, item.value) for g, item in zip(generations, items, strict=True) if item.value is not None]
    summary = _summary(valued, references)
    quality = _quality(list(comparisons.values()))
    if again is not None:
        quality |= _repeat(judged, references, judge, again)
    prefix = "" if objective.name == "win_rate" else f"{objective.name.removeprefix('win_rate_')}_"
    return WinRate(
        items,
        [Measure("summary", f"{prefix}{name}", value, cell) for name, value in summary.items()]
        + [Measure("judge", f"{prefix}{name}", value, cell) for name, value in quality.items()],
    )


def _check(generations: Sequence[Generation], references: Mapping[str, str]) -> None:
    seen: set[str] = set()
    for generation in generations:
        if generation.item in seen:
            raise ValueError(f"generation {generation.item!r} occurs twice")
        seen.add(generation.item)
        if generation.cluster not in references:
            raise ValueError(f"prompt {generation.cluster!r} has no reference response to be compared with")


def _compare(generations: list[Generation], references: Mapping[str, str], judge: Judge) -> list[_Comparison]:
    """Judge every pair in both orders in one call of the annotator."""
    prompts = [generation.prompt for generation in generations] * 2
    policy = [generation.response for generation in generations]
    reference = [references[generation.cluster] for generation in generations]
    first, second = reference + policy, policy + reference
    statuses, reasons, costs = [Status.OK] * len(first), [""] * len(first), [0.0] * len(first)

    def p_first(pairs: list[int]) -> list[float | None]:
        verdicts = judge.prefer([prompts[i] for i in pairs], [first[i] for i in pairs], [second[i] for i in pairs])
        for i, verdict in zip(pairs, verdicts, strict=True):
            _check_verdict(verdict, judge, prompts[i])
            statuses[i], reasons[i], costs[i] = verdict.status, verdict.reason, verdict.cost
        return [verdict.p_first for verdict in verdicts]

    preferences = annotate(first, second, p_first)
    n = len(generations)
    return [
        _Comparison(
            None if (second_wins := preferences[i]) is None else second_wins - 1.0,
            None if (first_wins := preferences[n + i]) is None else 2.0 - first_wins,
            statuses[i] if statuses[i] is not Status.OK else statuses[n + i],
            tuple(dict.fromkeys(filter(None, (reasons[i], reasons[n + i])))),
            costs[i] + costs[n + i],
        )
        for i in range(n)
    ]


def _check_verdict(verdict: Verdict, judge: Judge, prompt: str) -> None:
    answered = verdict.status is Status.OK
    if answered != (verdict.p_first is not None) or not 0.0 <= (verdict.p_first or 0.0) <= 1.0:
        raise ValueError(f"judge {judge.name!r} answered {verdict} on the prompt {prompt[:60]!r}")


def _item(
    objective: Objective, generation: Generation, comparison: _Comparison | None, noted: dict[str, str]
) -> ItemScore:
    if comparison is None:
        return item_score(objective, generation, None, detail=noted)
    detail = noted | {"policy_second": comparison.policy_second, "policy_first": comparison.policy_first}
    if comparison.reasons:
        detail["reason"] = "; ".join(comparison.reasons)
    return item_score(objective, generation, comparison.value, comparison.status, detail)


def _summary(valued: list[tuple[Generation, float]], references: Mapping[str, str]) -> dict[str, float]:
    """alpaca-eval's figures on the items that have a value."""
    import pandas as pd

    if not valued:
        return {}
    frame = pd.DataFrame(
        {
            "preference": [1.0 + value for _, value in valued],
            "output_1": [references[generation.cluster] for generation, _ in valued],
            "output_2": ["" if is_empty(generation) else generation.response for generation, _ in valued],
        }
    )
    raw = raw_win_rate(frame["preference"].tolist())
    summary = {"win_rate": raw["win_rate"] / 100, "discrete_win_rate": raw["discrete_win_rate"] / 100}
    if len(valued) > 1:
        summary["win_rate_standard_error"] = raw["standard_error"] / 100
    if (controlled := length_control.minimal(frame["preference"], frame["output_1"], frame["output_2"])) is not None:
        summary["length_controlled_win_rate"] = controlled / 100
    return summary | {
        "mean_characters": float(frame["output_2"].str.len().mean()),
        "mean_characters_reference": float(frame["output_1"].str.len().mean()),
    }


def _quality(comparisons: list[_Comparison]) -> dict[str, float]:
    """Dependence of the verdicts on the order, and the shares of missing ones."""
    if not comparisons:
        return {}
    both = [
        (c.policy_first, c.policy_second)
        for c in comparisons
        if c.policy_first is not None and c.policy_second is not None
    ]
    quality = {
        "judge_missing": 1 - len(both) / len(comparisons),
        "judge_unparsable": fmean(c.status is Status.UNPARSABLE for c in comparisons),
    }
    if any(c.cost for c in comparisons):
        quality["judge_cost"] = math.fsum(c.cost for c in comparisons)
    if both:
        quality["order_disagreement"] = fmean((first - 0.5) * (second - 0.5) < 0 for first, second in both)
        quality["first_position_bias"] = fmean((first - second) / 2 for first, second in both)
    return quality


def _repeat(
    generations: list[Generation], references: Mapping[str, str], judge: Judge, again: Judge
) -> dict[str, float]:
    """Share of questions whose winner changes when they are sent twice, the policy's response second."""
    sample = sorted(generations, key=lambda g: hashlib.sha256(g.item.encode()).digest())
    sample = [g for g in sample if g.response != references[g.cluster]][:REPEATED]
    pairs = [g.prompt for g in sample], [references[g.cluster] for g in sample], [g.response for g in sample]
    once, twice = judge.prefer(*pairs), again.prefer(*pairs)
    answered = [
        (a.p_first, b.p_first)
        for a, b in zip(once, twice, strict=True)
        if a.p_first is not None and b.p_first is not None
    ]
    if not answered:
        return {}
    return {"repeat_disagreement": fmean((a - 0.5) * (b - 0.5) < 0 for a, b in answered)}
