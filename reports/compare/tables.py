"""Tables of a comparison of runs."""

from __future__ import annotations

from dataclasses import replace

from reports.compare.comparison import Beside
from reports.compare.summary import strength, turned
from reports.page.tables.methods import scoreboard
from reports.page.tables.table import Column, Row, Table, p_value, share
from reports.statistics.estimates import Estimate

DIFFERENCES, PAIRED = "differences", "paired"


def tables(beside: Beside) -> list[Table]:
    """Every table that has rows, in reading order."""
    made = [differences(beside), common(beside), paired(beside), hypervolumes(beside)]
    if beside.analysis is not None:
        made.append(scoreboard(beside.analysis))
    return [table for table in made if table.rows]


def differences(beside: Beside) -> Table:
    """Settings, data and versions in which the runs differ."""
    columns = (Column("Kind", False), Column("Key", False), *(Column(name, False) for name in beside.runs))
    rows = tuple(Row((row.kind, row.key, *row.values)) for row in beside.unlike)
    return Table(
        DIFFERENCES, "What differs", columns, rows, "Of experiment.resolved.yaml and manifest.json; prose is left out."
    )


def common(beside: Beside) -> Table:
    """Numbers of prompts of each side and of all together, by objective."""
    labels = (
        {
            o.name: o.label
            for o in beside.analysis.study.objectives("user", "designer", "benchmark", "cost", "descriptive")
        }
        if beside.analysis
        else {}
    )
    columns = (
        Column("Objective", False),
        *(Column(f"Prompts of {side.name}") for side in beside.sides),
        Column("In common"),
    )
    rows = tuple(
        Row((labels.get(each.objective, each.objective), *each.prompts, each.common))
        for each in beside.merged.shared
        if each.prompts
    )
    note = "Prompts are matched by their text where the runs stored it, else by their ids. Only common prompts are compared."
    return Table("common", "Prompts in common", columns, rows, note)


def paired(beside: Beside) -> Table:
    """The difference of every setting that two sides have, on every objective."""
    several = len(beside.sides) > 2
    columns = (
        Column("Size", False), Column("Configuration", False), Column("Objective", False),
        *([Column("First", False), Column("Second", False)] if several else []),
        *(Column(name) for name in (("First's", "Second's") if several else [side.name for side in beside.sides])),
        Column("Verdict", False), Column("Difference", hint="second less first"), Column("p, adjusted"),
        Column("About", False), Column("Note", False),
    )  # fmt: skip
    rows = tuple(
        Row(
            (
                each.size, each.setting, each.objective.label, *((each.first, each.second) if several else ()),
                *(each.values or (None, None)), each.verdict, each.difference, p_value(each.p), each.scope, each.note,
            ),
            each.size,
        )
        for each in sorted(beside.paired, key=strength)
    )  # fmt: skip
    note = (
        "Difference: second less first, on the prompts and seeds of both; the verdict is about the second. Intervals, p-values and"
        " verdicts hold for all rows of a size together (95 %). About: the method, seeds included, or these checkpoints."
    )
    return Table(PAIRED, "Paired differences", columns, rows, note)


def hypervolumes(beside: Beside) -> Table:
    """The hypervolume of each method on two sides."""
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Settings"), Column("Verdict", False),
        Column("Difference", glyph=True, hint="second less first"), Column("P(second > first)"), Column("p, adjusted"), Column("Note", False),
    )  # fmt: skip
    analysis = beside.analysis
    rows = tuple(
        Row(
            (
                pair.size, analysis.label(pair.first) if analysis else pair.first,
                analysis.label(pair.second) if analysis else pair.second,
                pair.settings, turned(pair), _negative(pair.difference), share(1 - pair.probability), p_value(pair.p), pair.note,
            ),
            pair.size,
        )
        for pair in beside.hypervolumes
    )  # fmt: skip
    note = (
        "Expected hypervolume of equally many settings of both, drawn at random. The verdict is about the second. Intervals and"
        " p-values hold for all pairs of methods and runs of a size together (95 %; studentized range)."
    )
    return Table("hypervolume_pairs", "Hypervolume of the same method", columns, rows, note)


def _negative(estimate: Estimate) -> Estimate:
    low, high = estimate.low, estimate.high
    return replace(
        estimate, value=-estimate.value, low=None if high is None else -high, high=None if low is None else -low
    )
