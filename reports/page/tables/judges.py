"""Tables of judges: agreement, rankings, and length-controlled win rates."""

from __future__ import annotations

from reports.page.tables.table import Column, Row, Shown, Table, Value, count_of, share
from reports.results import Analysis, Arena
from reports.statistics.estimates import LEVEL, Estimate
from reports.text import join, number


def judges(analysis: Analysis) -> Table | None:
    """Agreement of every two judges."""
    if not analysis.judges:
        return None
    columns = (
        Column("Size", False), Column("First", False), Column("Second", False), Column("Items"), Column("Agree"), Column("Cohen's κ"), Column("Krippendorff's α"),
        Column("Kendall's τ", hint="of the points' ranking; 1: the same order"), Column("τ, 95 %"), Column("Best by the first", False), Column("Best by the second", False),
    )  # fmt: skip
    rows = []
    for a in analysis.judges:
        best = [
            join([analysis.points[p].point.label for p, places in a.ranks.items() if places[side] == 1])
            for side in (0, 1)
        ]
        interval = "–" if a.tau_interval is None else f"[{number(a.tau_interval[0])}, {number(a.tau_interval[1])}]"
        values = (
            a.size,
            a.first.label,
            a.second.label,
            a.items,
            share(a.agree),
            a.kappa,
            a.alpha,
            a.tau,
            interval,
            *best,
        )
        rows.append(Row(values, a.size))
    note = "Agree: both judges prefer the same answer, or both call a tie. Kendall's τ is over the points of a size; its interval comes from the joint draws."
    return Table("judges", "Agreement of the judges", columns, tuple(rows), note)


def reranked(analysis: Analysis) -> Table | None:
    """Rank of every point under both judges, the largest change first."""
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
                Shown(one - two, f"{one - two:+d}".replace("-", "−")),
            ),
            a.size,
            analysis.points[p].point.method,
            p,
        )
        for a in analysis.judges
        for p, (one, two) in sorted(a.ranks.items(), key=lambda item: (-abs(item[1][0] - item[1][1]), item[1]))
    ]
    return Table(
        "reranked", "Ranks under both judges", columns, tuple(rows), "Change: ranks gained under the second judge."
    )


def arena(analysis: Analysis) -> Table | None:
    """Bradley–Terry rating and place of every point, under each judge side by side."""
    if not analysis.arenas:
        return None
    objectives = list({each.objective.name: each.objective for each in analysis.arenas}.values())
    several = len(objectives) > 1
    columns = [Column("Size", False), Column("Configuration", False)]
    for objective in objectives:
        of = f", {objective.label}" if several else ""
        columns += [
            Column(
                f"Rating{of}", glyph=True, hint="0: the average entry; 400 more: odds of 10 to 1 of the better output"
            ),
            Column(f"Place{of}", hint="places that it may have; they hold for all entries together"),
        ]
    rows = []
    for size in analysis.study.sizes:
        here = {each.objective.name: _rated(each) for each in analysis.arenas if each.size == size}
        first = next(iter(here.values()), {})
        every = dict.fromkeys(point for rated in here.values() for point in rated)
        for point in sorted(every, key=lambda name: -first[name][0].value if name in first else 0.0):
            values: list[Value] = []
            for objective in objectives:
                rating, place = here.get(objective.name, {}).get(point) or (None, None)
                values += [rating, place]
            about = analysis.points[point].point
            rows.append(Row((size, about.label, *values), size, about.method, point))
    by = "" if several else f" by {objectives[0].label}"
    note = (
        f"Bradley–Terry ratings{by}: on every prompt each entry meets every other one, and the output that the judge values more wins."
        " Intervals: 95 %, over prompts, of these checkpoints. Places: from the first to the last that an entry may have (95 %, all pairs)."
    )
    return Table("arena", "Ratings of all entries", tuple(columns), tuple(rows), note)


def _rated(each: Arena) -> dict[str, tuple[Estimate, Shown]]:
    """Rating and place by point."""
    ratings = each.ratings
    rated = {}
    for i, point in enumerate(each.points):
        (low, high), (best, worst) = ratings.intervals()[i], ratings.places()[i]
        rating = Estimate(
            float(ratings.points[i]), None, float(low), float(high), LEVEL, ratings.prompts, 0, "t over prompts"
        )
        rated[point] = rating, Shown(float(best), f"{best}" if best == worst else f"{best} to {worst}")
    return rated


def corrected(analysis: Analysis) -> Table | None:
    """Win rates as judged, by the labels of people alone, and by both."""
    if not analysis.corrected:
        return None
    columns = (
        Column("Size", False), Column("Configuration", False), Column("Judge", False), Column("As judged", glyph=True),
        Column("Labels alone", glyph=True), Column("Corrected", glyph=True, hint="prediction-powered: the judge on all prompts, its error measured by the labels"),
        Column("Labelled prompts"), Column("Gain", hint="by which factor the judge makes the labels worth more: ratio of the variances"),
        Column("λ", hint="how much of the judge is used"), Column("Agree", hint="judge and people call the same winner"), Column("Krippendorff's α"),
    )  # fmt: skip
    rows = []
    for c in analysis.corrected:
        point, made = analysis.points[c.point].point, c.result
        values = (
            c.size, point.label, c.objective.label, c.judge, made.labels_alone, made.estimate,
            count_of(made.labelled, made.labelled + made.unlabelled), Shown(made.gain, f"× {made.gain:.2f}"), made.weight,
            share(c.agree), c.alpha,
        )  # fmt: skip
        rows.append(Row(values, c.size, point.method, c.point))
    note = (
        "Labels of people for some outputs correct the judge: mean of the labels, less λ times the judge's mean on the labelled prompts,"
        " plus λ times its mean on the others. It presumes that labelled prompts are a random part of all. Intervals: 95 %, over prompts, of these checkpoints."
    )
    return Table("corrected", "Win rates corrected by labels of people", columns, tuple(rows), note)


def length_control(analysis: Analysis) -> Table | None:
    """Win rate as judged, and as predicted for answers as long as the references."""
    if not analysis.length_controlled:
        return None
    columns = (
        Column("Size", False), Column("Configuration", False), Column("Win rate", glyph=True), Column("Length-controlled", glyph=True),
        Column("Length"), Column("Reference length"), Column("Length effect", hint="φ; above 0, the judge prefers longer answers"),
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
