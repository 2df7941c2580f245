"""Tables of methods: hypervolumes, gaps to the true frontier, chosen points and budgets."""

from __future__ import annotations

from reports.frontiers.indicators import weight_grid
from reports.page.tables.table import Column, Row, Shown, Table, Value, count_of, p_value, share, time
from reports.results import Analysis
from reports.text import join, number


def scoreboard(analysis: Analysis) -> Table:
    """One row per size and method: hypervolume, rank probability, gap to the truth, budget."""
    volumes, truth = analysis.reference_stated, any(result.gap for result in analysis.methods)
    distances = any(result.epsilon is not None for result in analysis.methods)
    columns = [Column("Size", False), Column("Method", False)]
    if volumes:
        columns += [
            Column(
                "Hypervolume",
                glyph=True,
                hint="expected, of as many settings as most methods have (all, where fewer), drawn at random",
            ),
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
            results = analysis.ranked(size)
        for result in results:
            values: list[Value] = [size, result.label]
            values += [result.at_budget, share(result.probability_largest)] if volumes else []
            values += [result.gap, result.smallest_gap] if truth else []
            values += [result.epsilon, result.igd_plus] if distances else []
            values += [count_of(result.on_frontier, len(result.points))]
            rows.append(Row(tuple(values), size, result.method))
    note = "Intervals: 95 %, prompts and (with two or more seeds) seeds redrawn jointly."
    title = " and ".join(["Hypervolume"] * volumes + ["gap to the true frontier"] * truth) or "Points on the frontier"
    return Table("methods", title[0].upper() + title[1:], tuple(columns), tuple(rows), note)


def gap_ranking(analysis: Analysis) -> Table | None:
    """Methods by their gap to the true frontier at equal budget, those that are worse than the first last."""
    if not analysis.gaps:
        return None
    columns = (
        Column("Size", False), Column("Rank"), Column("Method", False), Column("Gap at equal budget", glyph=True),
        Column("Rank, 95 %", hint="places that the method takes in 95 % of draws of the seeds"),
        Column("Against the first", False), Column("Settings", hint="tried, of the number the best is taken among"), Column("Note", False),
    )  # fmt: skip
    words = {True: "not separable", False: "worse", None: "no verdict"}
    rows = [
        Row(
            (
                g.size, g.rank, g.label, g.gap, Shown(g.ranks[0], f"{g.ranks[0]} to {g.ranks[1]}") if g.ranks else None,
                "first" if g.rank == 1 else words[g.tied], count_of(*sorted((g.settings, g.budget))),
                f"{g.note}; the seeds' gaps are {join([number(gap) for gap in g.by_seed])}" if g.note else "",
            ),
            g.size,
            g.method,
            marks=frozenset({3}) if g.tied else frozenset(),
        )
        for g in analysis.gaps
    ]  # fmt: skip
    note = (
        "Gap of the best of equally many settings drawn at random, each chosen by the other seeds, so that neither more settings nor"
        " lucky seeds flatter a method. Methods that are not separable from the first come before those that are worse, and those before methods without a verdict, each by gap. The KL budget from μ, the behaviour policy that the base was pretrained on, is 1 nat for every policy, or the policy's own KL if that is more,"
        " because a policy close to μ has almost no gap at its own KL. Intervals over seeds. Bold: could be the best. The verdicts hold for all pairs and for the hypervolumes of the size together (95 %)."
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
                h.size, "all methods" if h.method is None else analysis.label(h.method), count_of(len(h.chosen), h.of), count_of(h.still, len(h.chosen)),
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
        Column("Size", False), Column("First", False), Column("Second", False), Column("Settings", hint="of either method, the number that both have"),
        Column("Verdict", False), Column("Difference", glyph=True), Column("P(first > second)"), Column("p, adjusted"), Column("Note", False),
    )  # fmt: skip
    rows = [
        Row(
            (
                c.size,
                analysis.label(c.first),
                analysis.label(c.second),
                c.settings,
                c.verdict,
                c.difference,
                share(c.probability),
                p_value(c.p),
                c.note,
            ),
            c.size,
        )
        for c in analysis.hypervolumes
        if not analysis.many or analysis.largest(c.size) in (c.first, c.second)
    ]
    shown = "" if len(rows) == len(analysis.hypervolumes) else " Shown are the pairs with the largest."
    note = (
        "Expected hypervolume of equally many settings of both, drawn at random. Intervals, p-values and verdicts hold for all pairs"
        f" and for the gaps of a size together (95 %; studentized range). Not separable: the interval contains 0.{shown}"
    )
    return Table("hypervolume_pairs", "Methods against each other: hypervolume", columns, tuple(rows), note)


def indicators(analysis: Analysis) -> Table | None:
    """Indicators that the multi-objective literature reports beside the hypervolume."""
    if not any(result.mean_inner_product for result in analysis.methods):
        return None
    weights = len(weight_grid(len(analysis.objectives)))
    columns = (
        Column("Size", False), Column("Method", False),
        Column("Mean inner product", glyph=True, hint="of weights and objectives, the best setting for each weight; more is better"),
        Column("Sparsity", hint="mean squared distance between neighbours on the method's frontier; less is denser"),
        Column("Spacing", hint="unevenness of the distances on the method's frontier; 0 is even"),
    )  # fmt: skip
    rows = [
        Row((r.size, r.label, r.mean_inner_product, r.sparsity, r.spacing), r.size, r.method) for r in analysis.methods
    ]
    note = (
        f"Objectives count from the reference point, so that more is better. Mean over {weights} evenly spaced weights that sum to 1."
        " Intervals: 95 %, prompts and seeds as for hypervolumes; whole sweeps, no verdict."
    )
    return Table("indicators", "Mean inner product, sparsity, spacing", columns, tuple(rows), note)


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
                time(b.seconds),
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
