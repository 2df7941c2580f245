"""Ratings of all entries under each judge, and win rates that the labels of people correct."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from harness.records import Objective
from reports.frontiers.selection import representative
from reports.grids import Point, Study
from reports.results import Arena, Corrected
from reports.statistics.estimates import Estimate
from reports.statistics.judges.bradley_terry import bradley_terry
from reports.statistics.judges.debiased import Debiased, Sums, debiased
from reports.statistics.judges.krippendorff import nominal_alpha

MOST = 300
"""Entries that are rated together; of more, one of each method."""


def arenas(study: Study, points: Sequence[Point], users: Sequence[Objective]) -> list[Arena]:
    """Ratings of the points of every size by each user objective: on a prompt the output with the larger value wins.

    A point's value on a prompt is its mean over seeds and samples.
    """
    made = []
    for size in study.sizes:
        here = [point for point in points if point.size == size]
        if len(here) > MOST:
            groups = [[point for point in here if point.method == method] for method in study.methods]
            here = [representative(group, study.grids, users[:1]) for group in groups if group]
        for user in users:
            grid = study.grids[user.name]
            rated = [point for point in here if grid.rows(point.cells)]
            if not grid.clusters or len(rated) < 2:
                continue
            rows = [grid.rows(point.cells) for point in rated]
            total = np.stack([grid.total[each].sum(0) for each in rows])
            count = np.stack([grid.count[each].sum(0) for each in rows])
            values = np.where(count > 0, total / np.maximum(count, 1), np.nan)
            ratings = bradley_terry(values if user.direction == "maximize" else -values)
            if ratings is not None:
                made.append(Arena(size, user, tuple(point.id for point in rated), ratings))
    return made


def corrected(
    study: Study, points: Sequence[Point], users: Sequence[Objective], labels: pd.DataFrame
) -> list[Corrected]:
    """The rate of every point by each judge, corrected by the labels of its outputs (`labels.joined`).

    The labelled prompts of a point are those with a label of one of its outputs; of these prompts, the outputs with a label count.
    """
    made = []
    items = study.records.items
    for user in users:
        judged = items[(items.objective == user.name) & items.value.notna()][["cell", "item", "cluster", "value"]]
        both = judged.merge(labels, "left", ["cell", "item"])
        for point in points:
            own = both[both.cell.isin(point.cells)]
            labelled = own[own.label.notna()]
            rest = own[~own.cluster.isin(labelled.cluster)]
            result = debiased(_sums(labelled, with_labels=True), _sums(rest)) if len(labelled) else None
            if result is None:
                continue
            verdicts = np.sign(labelled[["value", "label"]].to_numpy().T - 0.5)
            made.append(
                Corrected(
                    point.size, user, point.id, _within(_plain_mean(own), user), _bounded(result, user),
                    float((verdicts[0] == verdicts[1]).mean()), nominal_alpha(verdicts),
                )
            )  # fmt: skip
    return made


def _bounded(result: Debiased, objective: Objective) -> Debiased:
    estimate, alone = (_within(each, objective) for each in (result.estimate, result.labels_alone))
    return replace(result, estimate=estimate, labels_alone=alone)


def _within(estimate: Estimate, objective: Objective) -> Estimate:
    """An estimate whose interval stays within the objective's bounds."""
    low, high = objective.bounds
    assert estimate.low is not None and estimate.high is not None  # intervals of at least three prompts
    return replace(estimate, low=max(estimate.low, low), high=min(estimate.high, high))


def _sums(rows: pd.DataFrame, with_labels: bool = False) -> Sums:
    by_prompt = rows.groupby("cluster", sort=True)
    labels = by_prompt.label.sum().to_numpy() if with_labels else None
    return Sums(by_prompt.value.sum().to_numpy(), by_prompt.value.size().to_numpy(float), labels)


def _plain_mean(rows: pd.DataFrame) -> Estimate:
    """The judge's own mean over all items with the interval over prompts that a label of everything would give."""
    sums = _sums(rows)
    every = debiased(Sums(sums.judged, sums.count, sums.judged), Sums(np.zeros(0), np.zeros(0)))
    assert every is not None  # a point with two labelled prompts has two prompts
    return every.estimate
