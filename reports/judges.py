"""Where two judges decided the same wins: how far they agree, and whether they rank alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reports.study import Point, Study

FIRST, SECOND = "win_rate", "win_rate_second"


@dataclass(frozen=True)
class Agreement:
    """Two judges on one point's responses, over the `n` that both could decide.

    `same` is the share with the same winner (a draw is a winner of its own), `kappa` Cohen's, None where chance alone
    would make them agree always. Ranks are within the model size, 1 the highest win rate.
    """

    point: Point
    n: int
    same: float
    kappa: float | None
    first: float
    second: float
    first_rank: int
    second_rank: int


def agreements(study: Study) -> list[Agreement]:
    """One row a point; none where there was one judge."""
    items = study.records.items
    wide = items[items.objective.isin((FIRST, SECOND))].pivot(
        index=["cell", "item"], columns="objective", values="value"
    )
    if FIRST not in wide or SECOND not in wide:
        return []
    wide = wide.dropna().reset_index("cell")
    found = []
    for size in study.sizes:
        judged = [(point, wide[wide.cell.isin(point.cells)]) for point in study.select(size)]
        judged = [(point, rows) for point, rows in judged if len(rows)]
        first, second = (_ranks([rows[name].mean() for _, rows in judged]) for name in (FIRST, SECOND))
        for (point, rows), one, other in zip(judged, first, second, strict=True):
            a, b = rows[FIRST].to_numpy(float), rows[SECOND].to_numpy(float)
            same, kappa = agreement(a, b)
            found.append(Agreement(point, len(rows), same, kappa, a.mean(), b.mean(), one, other))
    return found


def agreement(first: np.ndarray, second: np.ndarray) -> tuple[float, float | None]:
    r"""Share of equal winners and Cohen's :math:`\kappa = (p_o - p_e) / (1 - p_e)` of two judges' probabilities.

    Examples
    --------
    >>> agreement(np.array([1.0, 0.9, 0.2, 0.0]), np.array([0.7, 0.1, 0.1, 0.3]))
    (0.75, 0.5)
    """
    a, b = np.sign(first - 0.5), np.sign(second - 0.5)
    observed = float(np.mean(a == b))
    expected = float(sum(np.mean(a == winner) * np.mean(b == winner) for winner in (-1, 0, 1)))
    return observed, (observed - expected) / (1 - expected) if expected < 1 else None


def _ranks(values: list[float]) -> list[int]:
    """1 for the highest; equal values share the better rank."""
    return [1 + sum(other > value for other in values) for value in values]
