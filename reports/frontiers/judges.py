"""Agreement of two judges of the same answers: on items, on the ranking of points, and on the best method.

`win_rate` and `win_rate_second` are two opinions of the same wins, and the second is no axis of its own.
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from scipy import stats

from harness.records import Objective
from reports.grids import Point, Study
from reports.results import JudgeAgreement
from reports.statistics.judges.krippendorff import nominal_alpha
from reports.statistics.resampling import Replicates

TAU_DRAWS = 400


def opinions(objectives: list[Objective]) -> list[Objective]:
    """The user's objective and further opinions of it: user objectives without a reference point, and those named after it."""
    users = [objective for objective in objectives if objective.role == "user"]
    if not users:
        return []
    first = users[0]
    named = [o for o in objectives if o.role == "descriptive" and o.name.startswith(f"{first.name}_")]
    second = [o for o in users[1:] if o.reference_point is None] + named
    return [first, *second] if second else []


def agreements(
    study: Study, points: list[Point], users: list[Objective], draws: Replicates | None
) -> list[JudgeAgreement]:
    """Every pair of user objectives at every size."""
    results = []
    for size in study.sizes:
        for first, second in combinations(users, 2):
            grids = study.grids[first.name], study.grids[second.name]
            here = [p for p in points if p.size == size and all(grid.rows(p.cells) for grid in grids)]
            if len(here) > 1 and draws is not None:
                results.append(_agreement(size, here, (first, second), study, draws))
    return results


def _agreement(
    size: str, points: list[Point], pair: tuple[Objective, Objective], study: Study, draws: Replicates
) -> JudgeAgreement:
    part = draws.select([point.id for point in points], [objective.name for objective in pair])
    sign = [1.0 if objective.direction == "maximize" else -1.0 for objective in pair]
    values = part.estimate * sign
    drawn = (part.best * sign)[:: max(1, len(part.best) // TAU_DRAWS)]
    taus = np.array([stats.kendalltau(*draw.T).statistic for draw in drawn])
    taus = taus[np.isfinite(taus)]
    cells = {cell for point in points for cell in point.cells}
    agree, kappa, alpha, n = _items(study, cells, pair)
    places = [stats.rankdata(-column, method="min").astype(int) for column in values.T]
    return JudgeAgreement(
        size=size,
        first=pair[0],
        second=pair[1],
        items=n,
        agree=agree,
        kappa=kappa,
        alpha=alpha,
        tau=float(stats.kendalltau(*values.T).statistic),
        tau_interval=_interval(taus) if len(taus) > 1 else None,
        ranks={point.id: (int(a), int(b)) for point, a, b in zip(points, *places, strict=True)},
    )


def _interval(draws: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def _items(
    study: Study, cells: set[str], pair: tuple[Objective, Objective]
) -> tuple[float | None, float | None, float | None, int]:
    """Share of items on which both decide alike, Cohen's κ and Krippendorff's α of it, and the number of items both decided."""
    items = study.records.items
    sides = [
        items[(items.objective == objective.name) & items.cell.isin(cells) & items.value.notna()]
        .set_index(["cell", "item"])
        .value
        for objective in pair
    ]
    both = sides[0].to_frame("a").join(sides[1].to_frame("b"), how="inner")
    if both.empty:
        return None, None, None, 0
    a, b = (np.sign(both[side].to_numpy() - 0.5) for side in ("a", "b"))
    agree = float((a == b).mean())
    chance = float(sum((a == way).mean() * (b == way).mean() for way in (-1, 0, 1)))
    kappa = (agree - chance) / (1 - chance) if chance < 1 else None
    return agree, kappa, nominal_alpha(np.stack([a, b])), len(both)
