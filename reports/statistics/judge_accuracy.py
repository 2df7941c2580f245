"""Accuracy of a judge that was trained here, on pairs that it was not trained on."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from reports.statistics.estimates import LEVEL, Estimate

if TYPE_CHECKING:
    from harness.records import Records

CHANCE = 0.5


def judge_accuracies(records: Records) -> dict[str, Estimate]:
    """Share of held-out pairs where the judge of each size prefers the response that people chose.

    Returns
    -------
    dict of str to Estimate
        By size; sizes without a judge that was trained here are left out. The interval is Wilson's score interval over the pairs.
    """
    figures = records.measures[records.measures.group == "quality"].groupby("name").value.first()
    named = {
        match[1]: match[2]
        for name in figures.index
        if (match := re.fullmatch(r"judge_accuracy (\(.*, (.*)\))", str(name)))
    }
    return {
        size: accuracy_estimate(
            float(figures[f"judge_accuracy {label}"]), int(figures[f"judge_held_out_pairs {label}"])
        )
        for label, size in named.items()
        if f"judge_held_out_pairs {label}" in figures
    }


def accuracy_estimate(share: float, pairs: int) -> Estimate:
    """A share of pairs with Wilson's interval (J. Am. Stat. Assoc. 22, 1927).

    Examples
    --------
    >>> estimate = accuracy_estimate(0.6, 100)
    >>> round(estimate.low, 4), round(estimate.high, 4)
    (0.502, 0.6906)
    """
    from scipy.stats import binomtest

    interval = binomtest(round(share * pairs), pairs).proportion_ci(LEVEL, method="wilson")
    return Estimate(share, None, float(interval.low), float(interval.high), LEVEL, pairs, 0, "Wilson over pairs")


def orders(accuracy: Estimate) -> bool:
    """Whether the judge is known to rank better than chance, so that an order can be read from its win rates."""
    return accuracy.low is not None and accuracy.low > CHANCE
