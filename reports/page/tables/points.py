"""Tables of points: estimates, costs, comparisons, further measures and missing values."""

from __future__ import annotations

from reports.page.tables.table import Column, Row, Table, count_of, p_value, share, time
from reports.results import COSTS, Analysis
from reports.statistics.judge_accuracy import judge_accuracies
from reports.text import number

WIN_RATE = "win_rate"
NOTHING = dict.fromkeys(COSTS, 0.0)
TITLES = {
    "health": (
        "Training health",
        "Chosen and rejected logp change: of the training responses' log-probability since the start, nats; a chosen one that falls is "
        "likelihood displacement. Delta: the first less the second, also where the designer rewards contradict or support the label; reward "
        "accuracy: share of pairs where it is positive. KL from the start per token, nats. Truncated: number of training texts cut at the length limit. Mean over seeds.",
    ),
    "exact": (
        "Closed-form expectations",
        "Computed by enumeration, without sampling. Gap: shortfall from the true frontier at the policy's own KL from μ (at budget: at 1 nat if "
        "that is more); conditional: given an answer on the grammar; hypervolume share: of the true frontier's; target: the optimum that the "
        "method's derivation aims at, and the largest difference of an objective from it. KL and entropy in nats. Mean over seeds.",
    ),
    "summary": ("Summaries that are not means of items", "Mean over seeds."),
    "judge": (
        "Judge reliability",
        "Shares. Order: the winner changes when the two responses change places. Repeat: it changes when the same "
        "question is asked again. Mean over seeds.",
    ),
    "rows left out": ("Rows left out of the data", "Number of rows by reason."),
    "test prompts": ("Test prompts", "Equal prompts count as one in every interval."),
    "quality": ("Judge and scorer quality", "Mean over seeds."),
    "violations": (
        "Categories less safe than the reference response",
        "Share over prompts and categories, on the most unsafe K% of the prompts, by more than the margin. Errors are "
        "clustered by prompt. Mean over seeds.",
    ),
    "violations_by_category": (
        "The same per category, by more than 0.001",
        "Mean over seeds.",
    ),
}


def points(analysis: Analysis) -> Table:
    """Every point with its estimates, n, missing items, cost and the command that makes it again."""
    grids = analysis.study.grids
    columns = [Column("Size", False), Column("Configuration", False), Column("Seeds", hint="measured of planned")]
    accuracies = judge_accuracies(analysis.study.records)
    judged = list(grids).index(WIN_RATE) + 1 if accuracies and WIN_RATE in grids else None
    of_objectives = [
        Column(grid.objective.label, hint=f"{grid.objective.direction}, {grid.objective.unit}")
        for grid in grids.values()
    ]
    if judged is not None:
        of_objectives.insert(judged, Column("Judge's accuracy", hint="on held-out pairs"))
    columns += of_objectives
    columns += [
        Column("P(on frontier)"), Column("n", hint="items of the first objective"), Column("Missing"),
        Column("Training"), Column("Evaluation"), Column("Trained tokens"), Column("Generated tokens"),
    ]  # fmt: skip
    charged = any(cost["judge_cost"] for cost in analysis.costs.values())
    columns += [Column("Judge cost")] if charged else []
    columns += [Column("Command", False)]
    rows = []
    for point in analysis.study.points:
        result, cost = analysis.points.get(point.id), analysis.costs.get(point.id, NOTHING)
        estimates = [result.best(name) if result else None for name in grids]
        present = [estimate for estimate in estimates if estimate]
        if judged is not None:
            estimates.insert(judged, accuracies.get(point.size))
        values = (
            point.size, point.label, count_of(len(point.seeds), point.planned), *estimates,
            share(result.membership) if result else None, present[0].n if present else 0, sum(e.n_missing for e in present),
            time(cost["train_seconds"]), time(cost["evaluate_seconds"]), int(cost["trained_tokens"]), int(cost["generated_tokens"]),
            *([cost["judge_cost"]] if charged else []),
            point.command,
        )  # fmt: skip
        marks = frozenset(
            3 + i + (judged is not None and i >= judged)
            for i, name in enumerate(grids)
            if point.id in analysis.best.get((point.size, name), ())
        )
        rows.append(Row(values, point.size, point.method, point.id, marks))
    note = "Costs are per seed. Bold: could be the best of its size (all points of a column together, 95 %)."
    return Table("points", "Every point", tuple(columns), tuple(rows), note)


def comparisons(analysis: Analysis) -> Table:
    """Each method's best single trade-off against each other's, on every objective."""
    label = {objective.name: objective.label for objective in analysis.objectives}
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Objective", False), Column("Verdict", False),
        Column("Difference", glyph=True), Column("p, adjusted"),
        Column("P(dominates)", hint="share of joint draws in which the first is at least as good on all objectives and better on one"),
        Column("About", False), Column("Note", False),
    )  # fmt: skip
    points_by_id = {point.id: point for point in analysis.study.points}
    rows = []
    for c in analysis.comparisons:
        first, second = points_by_id[c.first], points_by_id[c.second]
        values = (
            first.size,
            first.label,
            second.label,
            label[c.objective],
            c.verdict,
            c.difference,
            p_value(c.p),
            share(c.dominates),
            f"the {c.scope}",
            c.note,
        )
        rows.append(Row(values, first.size))
    note = (
        "Paired by prompt and seed. Of each method the point with the largest hypervolume of its own is taken"
        + (", chosen on the validation prompts and compared on the test prompts. " if analysis.split else ". ")
        + ("Only pairs with the method whose chosen point has the largest hypervolume. " if analysis.many else "")
        + "Exploratory: intervals, p-values and verdicts hold for all pairs and objectives of a size together (95 %; studentized range)."
    )
    return Table("comparisons", "Points against each other", columns, tuple(rows), note)


def measures(analysis: Analysis, group: str) -> Table | None:
    """One group of per-cell figures, a row a point and a column a figure, averaged over seeds."""
    frame = analysis.study.records.measures
    frame = frame[frame.group == group]
    if frame.empty:
        return None
    values = {key: part.to_dict() for key, part in frame.groupby(["cell", "name"]).value.mean().groupby(level=0)}
    of_cells = frame.cell.isin(analysis.study.records.cells.cell)
    names = list(dict.fromkeys(frame[of_cells].name))
    rows = []
    for point in analysis.study.select():
        figures = []
        for name in names:
            measured = [values[cell][cell, name] for cell in point.cells if (cell, name) in values.get(cell, {})]
            figures.append(sum(measured) / len(measured) if measured else None)
        rows.append(Row((point.size, point.label, *figures), point.size, point.method, point.id))
    title, note = TITLES.get(group, (group.capitalize(), "Mean over seeds."))
    shared = frame[~of_cells]
    if not shared.empty:
        note += (
            " For the whole run: "
            + ", ".join(f"{name} {number(value)}" for name, value in shared.groupby("name").value.mean().items())
            + "."
        )
    columns = (
        Column("Size", False),
        Column("Configuration", False),
        *[Column(name.replace("_", " ")) for name in names],
    )
    return Table(group, title, columns, tuple(rows), note)


def missing(analysis: Analysis) -> Table | None:
    """Cells that failed or never ran."""
    frame = analysis.study.records.cells
    frame = frame[frame.status != "ok"]
    if frame.empty:
        return None
    columns = (Column("Cell", False), Column("Status", False), Column("Reason", False), Column("Command", False))
    rows = [Row((row.cell, row.status, row.error, row.command), row["size"], row.method) for _, row in frame.iterrows()]
    return Table("missing", "Cells without a result", columns, tuple(rows))


def missing_items(analysis: Analysis) -> Table | None:
    """Where items have no value: the mean if all of them were as bad, or as good, as possible."""
    columns = (Column("Size", False), Column("Configuration", False), Column("Objective", False), Column("n"), Column("Missing"),
               Column("Mean of the others"), Column("If all lowest"), Column("If all highest"))  # fmt: skip
    rows = []
    for result in analysis.points.values():
        for name, (low, high) in result.if_missing.items():
            estimate, point = result.checkpoints[name], result.point
            label = analysis.study.grids[name].objective.label
            rows.append(
                Row(
                    (point.size, point.label, label, estimate.n, estimate.n_missing, estimate.value, low, high),
                    point.size,
                    point.method,
                )
            )
    return Table("missing_items", "Items without a value", columns, tuple(rows)) if rows else None
