"""Methods against each other and against the truth: hypervolumes, ranks, equal budget, gaps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from harness.records import Objective
from reports.frontiers import frontier
from reports.frontiers.planes import planes, true_points
from reports.grids import Study
from reports.results import HypervolumeComparison, MethodResult
from reports.statistics.estimates import Estimate, Spread, components, estimate, p_value
from reports.statistics.resampling import Drawn, Replicates, functional, generator, varies
from reports.statistics.verdicts import ALPHA, holm

SUBSETS = 200


def method_results(
    found, points, draws, objectives, results, seed
) -> tuple[list[MethodResult], list[HypervolumeComparison]]:
    methods, versus = [], []
    stated = bool(objectives) and all(objective.reference_point is not None for objective in objectives)
    for size in found.sizes:
        groups = {name: [p.id for p in points if p.size == size and p.method == name] for name in found.methods}
        groups = {name: members for name, members in groups.items() if members}
        volumes = {
            name: {subset: volume(draws, members, subset) for subset in _subsets(objectives)}
            for name, members in groups.items()
            if stated
        }
        whole = tuple(objectives)
        largest = _probability_largest({name: each[whole].draws for name, each in volumes.items()})
        for name, members in groups.items():
            methods.append(
                MethodResult(
                    size=size,
                    method=name,
                    label=method_label(results[member].point for member in members),
                    points=tuple(members),
                    on_frontier=sum(results[member].on_frontier for member in members),
                    hypervolume={
                        tuple(o.name for o in subset): volume_estimate(drawn, subset)
                        for subset, drawn in volumes.get(name, {}).items()
                    },
                    probability_largest=largest.get(name),
                    equal_budget=_equal_budget(draws, members, objectives, seed) if stated else (),
                    **_against_truth(found, draws, members, objectives),
                )
            )
        versus += [
            _volume_comparison(size, first, second, volumes[first][whole] - volumes[second][whole])
            for first, second in itertools.combinations(volumes, 2)
        ]
    adjusted = iter(holm([comparison.p for comparison in versus if comparison.p is not None]))
    return methods, [_decided(c, next(adjusted) if c.p is not None else None) for c in versus]


def _subsets(objectives) -> list[tuple[Objective, ...]]:
    """All frontier objectives together, then each user × designer pair."""
    return [tuple(objectives), *(planes(objectives) if len(objectives) > 2 else [])]


def volume(draws: Replicates, members, objectives) -> Drawn:
    """Hypervolume of some points and what it is in every draw."""
    part = draws.select(members, [objective.name for objective in objectives])
    return functional(part, lambda points: frontier.hypervolumes(points, objectives))


def volume_estimate(drawn: Drawn, objectives) -> Estimate:
    """Hypervolume lies between 0 and the box from the reference point to the best corner."""
    box = float(np.prod([abs(objective.best - objective.reference_point) for objective in objectives]))
    what = ", prompts redrawn" if drawn.method is None else ", seeds and prompts redrawn"
    return estimate(drawn.value, drawn.spread, (0.0, box), what=what)


def _volume_comparison(size: str, first: str, second: str, difference: Drawn) -> HypervolumeComparison:
    draws, spread = difference.draws, difference.spread
    probability = float(np.mean(draws > 0) + 0.5 * np.mean(draws == 0))
    return HypervolumeComparison(
        size, first, second, estimate(difference.value, spread), probability, p_value(difference.value, spread), "tied"
    )


def _decided(comparison: HypervolumeComparison, p: float | None) -> HypervolumeComparison:
    if p is None:
        return replace(comparison, verdict="tied" if comparison.difference.value == 0 else "not comparable")
    if p >= ALPHA:
        return replace(comparison, p=p)
    return replace(comparison, p=p, verdict="better" if comparison.difference.value > 0 else "worse")


def _probability_largest(draws: dict[str, np.ndarray]) -> dict[str, float]:
    """Share of draws in which each method's hypervolume is the largest; empty if the draws do not differ."""
    if len(draws) < 2:
        return {}
    table = np.stack(list(draws.values()))
    if not varies(table.T):
        return {}
    top = table == table.max(0)
    return dict(zip(draws, (top / top.sum(0)).mean(1).tolist(), strict=True))


def _equal_budget(draws: Replicates, members, objectives, seed) -> tuple[float, ...]:
    """Expected hypervolume of k of the method's configurations drawn at random, k = 1, 2, ..."""
    values = draws.select(members, [objective.name for objective in objectives]).estimate
    expected = []
    for k in range(1, min(len(members), 12) + 1):
        subsets = (
            list(itertools.combinations(range(len(members)), k))
            if len(members) <= 8
            else _random_subsets(members, k, seed)
        )
        expected.append(float(np.mean([frontier.hypervolume(values[list(subset)], objectives) for subset in subsets])))
    return tuple(expected)


def _random_subsets(members, k: int, seed: int) -> list[np.ndarray]:
    random = generator(seed, "best of k", str(k), *members)
    return [random.choice(len(members), k, replace=False) for _ in range(SUBSETS)]


def _against_truth(found: Study, draws, members, objectives) -> dict:
    """Gap measured in closed form by the cells, and the set's distance from the true frontier."""
    measures = found.records.measures
    gaps = measures[(measures.group == "exact") & (measures.name == "gap")].set_index("cell").value
    points = [next(point for point in found.points if point.id == member) for member in members]
    runs = sorted({run for point in points for run in point.seeds})
    each = {
        point.id: {run: gaps.get(cell) for run, cell in zip(point.seeds, point.cells, strict=True)} for point in points
    }
    by_seed = [[each[point.id].get(run) for point in points] for run in runs]
    complete = np.array([row for row in by_seed if None not in row], dtype=float)
    gap = smallest = None
    if len(complete):
        part = components(complete.mean(1), np.zeros((len(complete), 0)))
        # One figure per seed: the usual t interval over seeds, nothing to pool.
        own = Spread(float(np.sqrt(part.seeds)), part.n_seeds - 1) if part.seeds else None
        gap = estimate(part.value, own, (0.0, 1.0), n=len(complete), what=" over seeds")
        smallest = float(complete.mean(0).min())
    budget = _budget_for(found, points)
    if budget is None or not objectives:
        return {"gap": gap, "smallest_gap": smallest, "epsilon": None, "igd_plus": None}
    true = true_points(found.records, budget, objectives)
    mine = draws.select(members, [objective.name for objective in objectives]).estimate
    return {
        "gap": gap,
        "smallest_gap": smallest,
        "epsilon": frontier.additive_epsilon(mine, true, objectives),
        "igd_plus": frontier.igd_plus(mine, true, objectives),
    }


def _budget_for(found: Study, points) -> float | None:
    """The smallest KL budget of the truth that covers these points' KL, else the largest."""
    budgets = sorted(found.records.truth.budget.unique())
    if not budgets:
        return None
    measures = found.records.measures
    kl = measures[
        (measures.group == "exact") & (measures.name == "kl") & measures.cell.isin([c for p in points for c in p.cells])
    ]
    return next((budget for budget in budgets if len(kl) and budget >= kl.value.max()), budgets[-1])


def method_label(points) -> str:
    """The words that the labels of a method's points begin with in common, else the method's name.

    Examples
    --------
    >>> from types import SimpleNamespace as Point
    >>> method_label([Point(label="UPO w=1", method="upo"), Point(label="UPO w=2", method="upo")])
    'UPO'
    >>> method_label([Point(label="UPO(1)", method="upo"), Point(label="UPO(2)", method="upo")])
    'upo'
    """
    points = list(points)
    words = [point.label.split() for point in points]
    common = list(itertools.takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False)))
    return " ".join(column[0] for column in common) or points[0].method
