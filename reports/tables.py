"""The report's tables, once, for HTML, Markdown, LaTeX and CSV."""

from __future__ import annotations

from dataclasses import dataclass

from reports.estimates import Estimate
from reports.results import COSTS, Analysis
from reports.text import duration, join, number, p_text, percent, with_interval

Value = str | int | float | Estimate | None


@dataclass(frozen=True)
class Column:
    """A column's heading, and whether a small drawing of the interval goes with it in HTML."""

    title: str
    numeric: bool = True
    glyph: bool = False
    hint: str = ""


@dataclass(frozen=True)
class Row:
    """Values in the order of the columns; `method`, `size` and `point` say what the row is about."""

    values: tuple[Value, ...]
    size: str = ""
    method: str = ""
    point: str = ""
    marks: frozenset[int] = frozenset()


@dataclass(frozen=True)
class Table:
    """A titled table with a note under it. `marks` of a row are its columns that are best or tied with the best."""

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    note: str = ""


def show(value: Value) -> str:
    """A value as text.

    Examples
    --------
    >>> show(0.25), show(None), show("UPO"), show(12)
    ('0.250', '–', 'UPO', '12')
    """
    match value:
        case Estimate():
            return with_interval(value)
        case str():
            return value
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case _:
            return number(value)


def scoreboard(analysis: Analysis) -> Table:
    """One row per size and method: hypervolume, rank probability, gap to the truth, budget."""
    names = tuple(objective.name for objective in analysis.objectives)
    volumes, truth = analysis.reference_stated, any(result.gap for result in analysis.methods)
    distances = any(result.epsilon is not None for result in analysis.methods)
    columns = [Column("Size", False), Column("Method", False)]
    if volumes:
        columns += [
            Column("Hypervolume", glyph=True),
            Column("P(largest)", hint="share of joint draws in which the method has the largest hypervolume"),
        ]
    if truth:
        columns += [
            Column("Gap to truth", hint="mean over its points, each at its own KL; 0 is optimal"),
            Column("Smallest gap"),
        ]
    if distances:
        columns += [
            Column("ε to truth", hint="additive epsilon: how far every point must move to cover the true frontier"),
            Column("IGD+"),
        ]
    columns += [Column("On frontier", hint="points of the method on the size's frontier, of all its points")]
    rows = []
    for size in analysis.study.sizes:
        results = analysis.of(size)
        if volumes:
            results = sorted(results, key=lambda result: -result.hypervolume[names].value)
        for result in results:
            values: list[Value] = [size, result.label]
            values += [result.hypervolume[names], percent(result.probability_largest)] if volumes else []
            values += [result.gap, result.smallest_gap] if truth else []
            values += [result.epsilon, result.igd_plus] if distances else []
            values += [f"{result.on_frontier} of {len(result.points)}"]
            rows.append(Row(tuple(values), size, result.method))
    note = "Intervals: 95 %, prompts and (with two or more seeds) seeds redrawn jointly."
    return Table("methods", "Hypervolume and gap to the true frontier", tuple(columns), tuple(rows), note)


def gap_ranking(analysis: Analysis) -> Table | None:
    """Methods from the smallest gap to the true frontier to the largest, at equal budget."""
    if not analysis.gaps:
        return None
    columns = (
        Column("Size", False), Column("Rank"), Column("Method", False), Column("Gap at equal budget", glyph=True),
        Column("Rank, 95 %", hint="places that the method takes in 95 % of draws of the seeds"),
        Column("Against the first", False), Column("Settings", hint="tried, of the number the best is taken among"),
    )  # fmt: skip
    words = {True: "tied", False: "worse", None: "–"}
    rows = [
        Row(
            (
                g.size, g.rank, g.label, g.gap, "–" if g.ranks is None else f"{g.ranks[0]} to {g.ranks[1]}",
                "first" if g.rank == 1 else words[g.tied], f"{g.settings} of {g.budget}" if g.settings < g.budget else f"{g.budget} of {g.settings}",
            ),
            g.size,
            g.method,
            marks=frozenset({3}) if g.tied else frozenset(),
        )
        for g in analysis.gaps
    ]  # fmt: skip
    note = (
        "Gap of the best of equally many settings drawn at random, each chosen by the other seeds, so that neither more settings nor"
        " lucky seeds flatter a method. Every policy may be up to 1 nat from μ, or as far as it went if that is more: one that hardly moved"
        " is compared with what it could have become. Intervals over seeds. Bold: not significantly worse than the first (Holm over all pairs)."
    )
    return Table("gaps", "Methods by gap to the true frontier", columns, tuple(rows), note)


def chosen(analysis: Analysis) -> Table | None:
    """Frontiers chosen on the validation prompts, as they look there and on the test prompts."""
    if not analysis.held_out:
        return None
    columns = (
        Column("Size", False), Column("Chosen from", False), Column("Chosen"),
        Column("Still non-dominated", hint="of the chosen, on the test prompts"),
        Column("Hypervolume, validation"), Column("Hypervolume, test", glyph=True),
        Column("Optimism", hint="how much larger a set looks on the prompts that chose it"),
    )  # fmt: skip
    rows = [
        Row(
            (
                h.size, "all methods" if h.method is None else analysis.label(h.method), f"{len(h.chosen)} of {h.of}", f"{h.still} of {len(h.chosen)}",
                h.validation, h.test, h.optimism,
            ),
            h.size,
            h.method or "",
        )
        for h in analysis.held_out
    ]  # fmt: skip
    note = (
        "Non-dominated points on a third of the prompts (validation); their hypervolume there, and on the other prompts (test)."
        " Optimism is the mean of both ways round, so that harder prompts on one side cancel."
    )
    return Table("held_out", "Chosen on validation prompts, measured on test prompts", columns, tuple(rows), note)


def judges(analysis: Analysis) -> Table | None:
    """Agreement of every two judges."""
    if not analysis.judges:
        return None
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Items"), Column("Agree"), Column("Cohen's κ"),
        Column("Kendall's τ", hint="of the points' ranking; 1: the same order"), Column("τ, 95 %"), Column("Best by the first", False), Column("Best by the second", False),
    )  # fmt: skip
    rows = []
    for a in analysis.judges:
        best = [
            join([analysis.points[p].point.label for p, places in a.ranks.items() if places[side] == 1])
            for side in (0, 1)
        ]
        interval = "–" if a.tau_interval is None else f"[{number(a.tau_interval[0])}, {number(a.tau_interval[1])}]"
        values = (a.size, a.first.label, a.second.label, a.items, percent(a.agree), a.kappa, a.tau, interval, *best)
        rows.append(Row(values, a.size))
    note = "Agree: both prefer the same answer, or both call a tie. τ over the points of a size, interval from the joint draws."
    return Table("judges", "Would another judge rank alike?", columns, tuple(rows), note)


def reranked(analysis: Analysis) -> Table | None:
    """Every point's place under both judges, the largest change first."""
    if not analysis.judges:
        return None
    columns = (
        Column("Size", False), Column("Configuration", False), Column("First", False), Column("Rank"), Column("Second", False),
        Column("Rank"), Column("Change"),
    )  # fmt: skip
    rows = [
        Row(
            (
                a.size,
                analysis.points[p].point.label,
                a.first.label,
                one,
                a.second.label,
                two,
                f"{one - two:+d}".replace("-", "−"),
            ),
            a.size,
            analysis.points[p].point.method,
            p,
        )
        for a in analysis.judges
        for p, (one, two) in sorted(a.ranks.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[1]))
    ]
    return Table(
        "reranked", "Places under either judge", columns, tuple(rows), "Change: places won under the second judge."
    )


def panel_hypervolumes(analysis: Analysis) -> Table | None:
    """Hypervolume in each user × designer plane; None where there is only one plane."""
    subsets = [subset for subset in (analysis.methods[0].hypervolume if analysis.methods else ()) if len(subset) == 2]
    if len(subsets) < 2:
        return None
    label = {objective.name: objective.label for objective in analysis.objectives}
    columns = [
        Column("Size", False),
        Column("Method", False),
        *[Column(f"{label[y]} × {label[x]}", glyph=True) for x, y in subsets],
    ]
    rows = [
        Row((r.size, r.label, *[r.hypervolume[subset] for subset in subsets]), r.size, r.method)
        for r in analysis.methods
    ]
    return Table("hypervolume_planes", "Hypervolume in each plane", tuple(columns), tuple(rows))


def versus(analysis: Analysis) -> Table:
    """Hypervolume of each method against each other."""
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Verdict", False),
        Column("Difference", glyph=True), Column("P(first > second)"), Column("p, adjusted"),
    )  # fmt: skip
    rows = [
        Row(
            (
                c.size,
                analysis.label(c.first),
                analysis.label(c.second),
                c.verdict,
                c.difference,
                percent(c.probability),
                p_text(c.p),
            ),
            c.size,
        )
        for c in analysis.hypervolumes
        if not analysis.many or analysis.largest(c.size) in (c.first, c.second)
    ]
    pairs = len(analysis.hypervolumes)
    shown = f"the {pairs} pairs shown" if len(rows) == pairs else f"all {pairs} pairs; shown are those with the largest"
    note = f"p-values adjusted by Holm's procedure over {shown}. Tied: no difference at the 5 % level."
    return Table("hypervolume_pairs", "Methods against each other: hypervolume", columns, tuple(rows), note)


def comparisons(analysis: Analysis) -> Table:
    """Each method's best single trade-off against each other's, on every objective."""
    label = {objective.name: objective.label for objective in analysis.objectives}
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Objective", False), Column("Verdict", False),
        Column("Difference", glyph=True), Column("p, adjusted"),
        Column("P(dominates)", hint="share of joint draws in which the first is at least as good on all objectives and better on one"),
        Column("About", False), Column("Note", False),
    )  # fmt: skip
    rows = []
    for c in analysis.comparisons:
        first, second = (
            analysis.points[point].point if point in analysis.points else None for point in (c.first, c.second)
        )
        values = (
            first.size,
            first.label,
            second.label,
            label[c.objective],
            c.verdict,
            c.difference,
            p_text(c.p),
            percent(c.dominates),
            f"the {c.scope}",
            c.note,
        )
        rows.append(Row(values, first.size))
    note = (
        "Paired by prompt and seed. Of each method the point with the largest hypervolume of its own is taken"
        + (", chosen on the validation prompts and compared on the test prompts. " if analysis.split else ". ")
        + ("Only pairs with the method whose chosen point has the largest hypervolume. " if analysis.many else "")
        + f"p-values adjusted by Holm's procedure over all {len(rows)} comparisons shown."
    )
    return Table("comparisons", "Points against each other", columns, tuple(rows), note)


def points(analysis: Analysis) -> Table:
    """Every point with its estimates, n, missing items, cost and the command that makes it again."""
    grids = analysis.study.grids
    columns = [Column("Size", False), Column("Configuration", False), Column("Seeds", hint="measured of planned")]
    columns += [
        Column(grid.objective.label, hint=f"{grid.objective.direction}, {grid.objective.unit}")
        for grid in grids.values()
    ]
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
        known = [estimate for estimate in estimates if estimate]
        values = (
            point.size, point.label, f"{len(point.seeds)} of {point.planned}", *estimates,
            percent(result.membership) if result else "–", known[0].n if known else 0, sum(e.n_missing for e in known),
            duration(cost["train_seconds"]), duration(cost["evaluate_seconds"]), int(cost["trained_tokens"]), int(cost["generated_tokens"]),
            *([cost["judge_cost"]] if charged else []),
            point.command,
        )  # fmt: skip
        marks = frozenset(
            3 + i for i, name in enumerate(grids) if point.id in analysis.best.get((point.size, name), ())
        )
        rows.append(Row(values, point.size, point.method, point.id, marks))
    note = "Costs are per seed. Bold: best of its size or not significantly worse than the best (paired test, Holm)."
    return Table("points", "Every point", tuple(columns), tuple(rows), note)


NOTHING = dict.fromkeys(COSTS, 0.0)
TITLES = {
    "health": (
        "Training health",
        "Log-probability displacement against the reference, drift, length. Mean over seeds.",
    ),
    "exact": ("Closed-form expectations", "Computed by enumeration, without sampling. Mean over seeds."),
    "summary": ("Summaries that are not means of items", "Mean over seeds."),
    "judge": (
        "Judge reliability",
        "Shares. Order: the winner changes when the two responses change places. Repeat: it changes when the same "
        "question is asked again. Mean over seeds.",
    ),
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
            known = [values[cell][cell, name] for cell in point.cells if (cell, name) in values.get(cell, {})]
            figures.append(sum(known) / len(known) if known else None)
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


def length_control(analysis: Analysis) -> Table | None:
    """Win rate as judged, and had the answers been as long as the references."""
    if not analysis.length_controlled:
        return None
    columns = (
        Column("Size", False), Column("Configuration", False), Column("Win rate", glyph=True), Column("Length-controlled", glyph=True),
        Column("Length"), Column("Reference length"), Column("Length effect", hint="φ: above 0 the judge likes longer answers"),
    )  # fmt: skip
    rows = [
        Row(
            (c.point.size, c.point.label, c.raw, c.best, c.mean_length, c.reference_length, c.slope),
            c.point.size,
            c.point.method,
            c.point.id,
        )
        for c in analysis.length_controlled
    ]
    note = "Logistic model with one length term, σ(θ + φ·tanh(Δ/s)), refitted in every redraw of the prompts."
    return Table("length_control", "Length-controlled win rate", columns, tuple(rows), note)


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
            found, point = result.checkpoints[name], result.point
            label = analysis.study.grids[name].objective.label
            rows.append(
                Row(
                    (point.size, point.label, label, found.n, found.n_missing, found.value, low, high),
                    point.size,
                    point.method,
                )
            )
    return Table("missing_items", "Items without a value", columns, tuple(rows)) if rows else None


def budgets(analysis: Analysis) -> Table:
    """Tuning given to each method, failed runs included, and what it reached at equal budget."""
    fewest = min((budget.configurations for budget in analysis.budgets), default=0)
    columns = (
        Column("Method", False), Column("Configurations", hint="sweep values × sizes"), Column("Runs"), Column("Failed"),
        Column("Training, all runs"), Column("Tokens, all runs"), Column("Budget", False),
    )  # fmt: skip
    rows = [
        Row(
            (
                b.label,
                b.configurations,
                b.planned,
                b.failed,
                duration(b.seconds),
                b.tokens,
                "equal to the least" if b.configurations == fewest else f"{b.configurations / fewest:g} × the least",
            ),
            method=b.method,
        )
        for b in analysis.budgets
    ]
    return Table("budgets", "Tuning budgets", columns, tuple(rows), "Every planned run counts, failed ones too.")


def equal_budget(analysis: Analysis) -> Table | None:
    """Expected hypervolume of k configurations of a method drawn at random."""
    most = max((len(result.equal_budget) for result in analysis.methods), default=0)
    if most < 2:
        return None
    columns = (Column("Size", False), Column("Method", False), *[Column(f"k = {k}") for k in range(1, most + 1)])
    rows = [
        Row((r.size, r.label, *r.equal_budget, *[None] * (most - len(r.equal_budget))), r.size, r.method)
        for r in analysis.methods
    ]
    note = (
        "Expected hypervolume of k of the method's configurations drawn at random: compare methods within one column."
    )
    return Table("equal_budget", "Hypervolume at equal budget", columns, tuple(rows), note)


@dataclass(frozen=True)
class Tables:
    """All tables of a report in reading order; optional ones are absent where they would be empty."""

    scoreboard: Table
    gaps: Table | None
    held_out: Table | None
    planes: Table | None
    versus: Table
    comparisons: Table
    points: Table
    judges: Table | None
    reranked: Table | None
    length_control: Table | None
    measures: tuple[Table, ...]
    missing: Table | None
    missing_items: Table | None
    budgets: Table
    equal_budget: Table | None
    published: Table | None = None

    def __iter__(self):
        for value in vars(self).values():
            yield from value if isinstance(value, tuple) else [value] if value and value.rows else []


def tables(analysis: Analysis) -> Tables:
    """Every table of the report."""
    groups = dict.fromkeys([*TITLES, *analysis.study.records.measures.group])
    return Tables(
        scoreboard(analysis),
        gap_ranking(analysis),
        chosen(analysis),
        panel_hypervolumes(analysis),
        versus(analysis),
        comparisons(analysis),
        points(analysis),
        judges(analysis),
        reranked(analysis),
        length_control(analysis),
        tuple(filter(None, (measures(analysis, group) for group in groups))),
        missing(analysis),
        missing_items(analysis),
        budgets(analysis),
        equal_budget(analysis),
    )
