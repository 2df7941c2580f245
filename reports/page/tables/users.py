"""Table of what each policy is worth to the unseen users of a population."""

from __future__ import annotations

from reports.page.tables.table import Column, Row, Table
from reports.results import Analysis, PointResult

REGRET, BAYES, VALUE = "user_regret", "user_bayes_regret", "user_value"
MATRIX = "steering matrix"
"""Group of the measures that a heat map shows."""


def users(analysis: Analysis) -> Table | None:
    """Value and regret of every point for users, with what it costs; None for a run without users."""
    results = [result for result in analysis.points.values() if REGRET in result.checkpoints]
    if not results:
        return None
    columns = (
        Column("Configuration", False),
        Column("Pairs", hint="Pairs of the user that the method sees"),
        Column("Value", glyph=True, hint="Win rate against μ in the user's eyes, mean over users"),
        Column("Worst user", hint="Value for the user whom the policy serves worst, mean over seeds"),
        Column(
            "Regret", glyph=True, hint="β·KL from the user's own optimum, nats: what the policy lacks in E r − β·KL"
        ),
        Column("Bayes", glyph=True, hint="Regret of the best policy that these pairs allow"),
        Column("Accuracy", glyph=True, hint="Share of the user's labels that the policy's order agrees with"),
        Column("Steering gain", hint="Value of policies for their own users less that for the others"),
        Column("KL"),
        Column("Off the grammar"),
        Column("Training s"),
        Column("Tokens per answer", hint="Read and drawn, of all contexts, models and candidates"),
        Column("Seconds per new user"),
    )
    rows = [_row(analysis, result) for result in results]
    return Table("users", "Users", columns, tuple(rows), _note(analysis))


def figure(analysis: Analysis, result: PointResult, name: str) -> float | None:
    """A measure of a point's cells, mean over seeds."""
    measures = analysis.study.records.measures
    values = measures[(measures.name == name) & measures.cell.isin(result.point.cells)].value
    return float(values.mean()) if len(values) else None


def pairs_seen(result: PointResult) -> int | None:
    """The context size of a point; None for a policy that sees no pairs of the user."""
    value = result.point.sweep_value if result.point.sweep == "context" else None
    return None if value is None else int(value)


def _row(analysis: Analysis, result: PointResult) -> Row:
    cost = analysis.costs[result.point.id]
    values = (
        analysis.label(result.point.method),
        pairs_seen(result),
        result.best(VALUE),
        figure(analysis, result, "worst_user_value"),
        result.best(REGRET),
        result.best(BAYES),
        result.best("user_accuracy"),
        figure(analysis, result, "steering_gain"),
        figure(analysis, result, "kl"),
        figure(analysis, result, "mass_off_grammar"),
        cost["train_seconds"],
        cost["decode_tokens"],
        cost["adaptation_seconds"],
    )
    return Row(values, result.point.size, result.point.method, result.point.id)


def _note(analysis: Analysis) -> str:
    measures = analysis.study.records.measures
    draws = measures[measures.name == "bayes_effective_draws"].value
    contradicting = measures[measures.name == "contradicting_pairs"].value
    note = "Intervals are over users and seeds. Regret counts the policy on the grammar; what lies off it is a column of its own."
    if len(draws):
        note += f" The Bayes policy's posterior means rest on at least {draws.min():,.0f} effective draws."
    if len(contradicting) and contradicting.max() > 0:
        note += f" {contradicting.max():.0f} pairs of responses were chosen between both ways by one user."
    return note
