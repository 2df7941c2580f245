"""Sentences that sum up a comparison of runs."""

from __future__ import annotations

from collections.abc import Iterator

from reports.compare.comparison import Beside, Paired
from reports.compare.settings import DATA, MEASUREMENT
from reports.results import HypervolumeComparison
from reports.statistics.verdicts import BETTER, WORSE
from reports.text import join, number, plural, with_interval

LISTED = 6
"""Differences that are named one by one."""


def summary(beside: Beside) -> list[str]:
    """What differs and what does not, the most important first."""
    return [*_separable(beside), *_sides(beside), *_caution(beside), *beside.merged.notes]


def _separable(beside: Beside) -> Iterator[str]:
    if beside.analysis is None:
        yield "The runs have no objective in common that was measured alike on common prompts: nothing is compared."
        return
    if len(beside.sides) == 1:
        return
    if not beside.paired:
        yield "No setting was measured in two of the runs: their frontiers are shown together, and no difference is paired."
        return
    apart = sorted((each for each in beside.paired if each.verdict in (BETTER, WORSE)), key=strength)
    of = f"{plural(len(beside.paired), 'paired difference')} of {plural(beside.settings, 'setting')}"
    if all(each.equal for each in beside.paired):
        yield f"None of {of} differs: all scores are equal, item for item."
        return
    yield f"{len(apart) or 'None'} of {of} can be told from 0 (95 % for all of a size together)."
    if same := sum(each.equal for each in beside.paired):
        yield f"{same} of them are 0 because the runs have the same scores, item for item."
    for each in apart[:LISTED]:
        yield (
            f"{each.setting}, {each.size}: {each.objective.label} is {each.verdict} in {each.second} than in {each.first}, "
            f"by {with_interval(each.difference)}."
        )
    if len(apart) > LISTED:
        yield f"{len(apart) - LISTED} further differences are in the table of the page."


def _sides(beside: Beside) -> Iterator[str]:
    for side in beside.sides:
        if len(side.runs) > 1:
            seeds = sorted({int(seed) for run in side.runs for seed in run.records.cells.seed})
            named = join([str(run.folder) for run in side.runs])
            yield f"{named} differ in their seeds alone and count as one run with the seeds {join(list(map(str, seeds)))}."


def _caution(beside: Beside) -> Iterator[str]:
    for kind, text in (
        (DATA, "The data differ"),
        (MEASUREMENT, "What the runs were measured with differs"),
    ):
        if keys := [row.key for row in beside.unlike if row.kind == kind]:
            yield f"{text} ({join(keys[:LISTED])}): a difference of scores may come from that."


def strength(each: Paired) -> tuple[float, float]:
    """Order of differences: the surest first, and among equally sure ones the largest in standard errors."""
    value = each.difference
    return (1.0 if each.p is None else each.p, -abs(value.value / value.se) if value and value.se else 0.0)


def turned(pair: HypervolumeComparison) -> str:
    """A pair's verdict about its second side."""
    return {BETTER: WORSE, WORSE: BETTER}.get(pair.verdict, pair.verdict)


def volume_lines(beside: Beside) -> list[str]:
    """One sentence for each method whose hypervolume differs between two sides."""
    return [
        f"{beside.analysis.label(pair.second)}, {pair.size}: the hypervolume is {turned(pair)} than that of "
        f"{beside.analysis.label(pair.first)}, by {number(abs(pair.difference.value))}."
        for pair in beside.hypervolumes
        if beside.analysis and pair.verdict in (BETTER, WORSE)
    ]
