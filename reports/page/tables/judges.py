"""Tables of judges: agreement, rankings, and length-controlled win rates."""

from __future__ import annotations

from reports.page.tables.table import Column, Row, Shown, Table, share
from reports.results import Analysis
from reports.text import join, number


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
        values = (a.size, a.first.label, a.second.label, a.items, share(a.agree), a.kappa, a.tau, interval, *best)
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
