"""From a study to everything that the report says: the one place where statistics are put together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from harness.records import Objective, Records
from reports import frontier
from reports.estimates import (
    Components,
    Estimate,
    SeedNoise,
    Spread,
    checkpoints,
    components,
    estimate,
    method,
    missing_bounds,
    p_value,
    pool,
)
from reports.length_control import OBJECTIVE as CONTROLLED
from reports.length_control import LengthControlled, length_controlled
from reports.resampling import Drawn, Replicates, functional, generator, replicate
from reports.study import Grid, Point, Study, study
from reports.text import file_name
from reports.verdicts import ALPHA, Comparison, compare, decide, holm

FRONTIER_ROLES = ("user", "designer")
ATTAINMENT_DRAWS = 400
SUBSETS = 200
COSTS = ("train_seconds", "evaluate_seconds", "trained_tokens", "generated_tokens")


@dataclass(frozen=True)
class PointResult:
    """A point with its estimates by objective: of these checkpoints, and of the method (None for one seed)."""

    point: Point
    checkpoints: dict[str, Estimate]
    method: dict[str, Estimate | None]
    if_missing: dict[str, tuple[float, float]]
    on_frontier: bool
    membership: float | None

    def best(self, objective: str) -> Estimate | None:
        """The estimate that answers the wider question that can be answered."""
        return self.method.get(objective) or self.checkpoints.get(objective)


@dataclass(frozen=True)
class MethodResult:
    """What one method reached at one model size with all its sweep values together.

    `hypervolume` is keyed by the tuple of objective names, all of them together first. `equal_budget[k-1]` is the
    expected hypervolume of the best k of its configurations. `gap` is the mean over its points of the
    closed-form gap to the true frontier, `epsilon` and `igd_plus` the distance of its set from the true set.
    """

    size: str
    method: str
    label: str
    points: tuple[str, ...]
    on_frontier: int
    hypervolume: dict[tuple[str, ...], Estimate]
    probability_largest: float | None
    equal_budget: tuple[float, ...]
    gap: Estimate | None
    smallest_gap: float | None
    epsilon: float | None
    igd_plus: float | None


@dataclass(frozen=True)
class HypervolumeComparison:
    """Difference of two methods' hypervolumes (first − second) at one size, and P(first > second)."""

    size: str
    first: str
    second: str
    difference: Estimate
    probability: float
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Panel:
    """One frontier picture: designer objective `x` against user objective `y` at one size."""

    size: str
    x: Objective
    y: Objective
    frontier: np.ndarray
    steps: dict[str, np.ndarray]
    attainment: dict[str, dict[int, np.ndarray]]
    truth: dict[float, np.ndarray]

    @property
    def file(self) -> str:
        """Name of the panel's files, without an ending."""
        return file_name("frontier", self.size, self.y.name, self.x.name)


@dataclass(frozen=True)
class Budget:
    """How much tuning a method was given: configurations, runs planned and failed, seconds and tokens."""

    method: str
    label: str
    configurations: int
    planned: int
    failed: int
    seconds: float
    tokens: int


@dataclass(frozen=True)
class Analysis:
    """All results of one run, in reading order."""

    study: Study
    objectives: tuple[Objective, ...]
    points: dict[str, PointResult]
    methods: tuple[MethodResult, ...]
    panels: tuple[Panel, ...]
    hypervolumes: tuple[HypervolumeComparison, ...]
    comparisons: tuple[Comparison, ...]
    best: dict[tuple[str, str], frozenset[str]]
    length_controlled: tuple[LengthControlled, ...]
    budgets: tuple[Budget, ...]
    costs: dict[str, dict[str, float]]
    resamples: int
    seed: int

    @property
    def reference_stated(self) -> bool:
        return all(objective.reference_point is not None for objective in self.objectives)

    def of(self, size: str) -> list[MethodResult]:
        return [result for result in self.methods if result.size == size]

    def label(self, method: str) -> str:
        return next((result.label for result in self.methods if result.method == method), method)


def analyse(records: Records, resamples: int = 2000, seed: int = 0) -> Analysis:
    """Every estimate, frontier and comparison of a run.

    Parameters
    ----------
    resamples : int
        Joint draws of seeds and prompts.
    seed : int
        Root of all named random streams; the same seed gives the same report.
    """
    found = study(records)
    parts = _components(found)
    noise = _noise(found, parts)
    objectives = tuple(found.objectives(*FRONTIER_ROLES))
    names = [objective.name for objective in objectives]
    points = [point for point in found.select() if all(found.grids[name].rows(point.cells) for name in names)]
    draws = replicate(points, [found.grids[name] for name in names], parts, noise, resamples, seed) if points else None
    membership = _membership(found, points, draws, objectives)
    results = {
        point.id: _point(point, found.grids, parts, noise, membership.get(point.id)) for point in found.select()
    }
    methods, versus = _methods(found, points, draws, objectives, results, seed)
    return Analysis(
        study=found,
        objectives=objectives,
        points=results,
        methods=tuple(methods),
        panels=tuple(_panels(found, points, draws, objectives)),
        hypervolumes=tuple(versus),
        comparisons=tuple(_comparisons(found, points, objectives, noise)),
        best=_best(found, noise),
        length_controlled=tuple(length_controlled(found, _raw(results), seed=seed)),
        budgets=tuple(_budgets(found)),
        costs=_costs(found),
        resamples=resamples,
        seed=seed,
    )


def _components(found: Study) -> dict[tuple[str, str], Components]:
    parts = {}
    for name, grid in found.grids.items():
        for point in found.select():
            rows = grid.rows(point.cells)
            if rows:
                influence = grid.influence(rows) if grid.clusters else np.zeros((len(rows), 0))
                parts[point.id, name] = components(grid.mean[rows], influence)
    return parts


def _noise(found: Study, parts: dict) -> dict[tuple[str, str], SeedNoise | None]:
    noise = {}
    for name in found.grids:
        for size in found.sizes:
            known = [point for point in found.select(size) if (point.id, name) in parts]
            noise[size, name] = pool([parts[point.id, name] for point in known], [point.method for point in known])
    return noise


def _point(point: Point, grids: dict[str, Grid], parts, noise, member) -> PointResult:
    narrow, wide, bounds = {}, {}, {}
    for name, grid in grids.items():
        part = parts.get((point.id, name))
        if part is None:
            continue
        rows = grid.rows(point.cells)
        n, missing = int(grid.count[rows].sum()), int(grid.missing[rows].sum())
        spread = method(part, noise[point.size, name])
        common = {"bounds": grid.objective.bounds, "n": n or len(rows), "n_missing": missing}
        narrow[name] = estimate(part.value, checkpoints(part), n_clusters=len(grid.clusters), **common)
        wide[name] = estimate(part.value, spread, n_clusters=len(grid.clusters), **common) if part.n_seeds > 1 else None
        if missing:
            each = [missing_bounds(grid.total[row].sum(), grid.count[row].sum(), grid.missing[row].sum(), grid.objective.bounds) for row in rows]
            bounds[name] = tuple(float(value) for value in np.mean(each, axis=0))
    on_frontier, probability = member if member else (False, None)
    return PointResult(point, narrow, wide, bounds, on_frontier, probability)


def _membership(found: Study, points: list[Point], draws: Replicates | None, objectives) -> dict[str, tuple[bool, float]]:
    """Per point: on its size's frontier or not, and in which share of the draws."""
    members = {}
    for size in found.sizes:
        here = [point.id for point in points if point.size == size]
        if here and objectives:
            part = draws.select(here, [objective.name for objective in objectives])
            inside = frontier.non_dominated(part.estimate, objectives)
            share = frontier.membership(part.best, objectives)
            members |= {point: (bool(on), float(p)) for point, on, p in zip(here, inside, share, strict=True)}
    return members


def _methods(found, points, draws, objectives, results, seed) -> tuple[list[MethodResult], list[HypervolumeComparison]]:
    methods, versus = [], []
    stated = bool(objectives) and all(objective.reference_point is not None for objective in objectives)
    for size in found.sizes:
        groups = {name: [p.id for p in points if p.size == size and p.method == name] for name in found.methods}
        groups = {name: members for name, members in groups.items() if members}
        volumes = {
            name: {subset: _volume(draws, members, subset) for subset in _subsets(objectives)}
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
                    label=_method_label(results[member].point for member in members),
                    points=tuple(members),
                    on_frontier=sum(results[member].on_frontier for member in members),
                    hypervolume={
                        tuple(o.name for o in subset): _volume_estimate(drawn, subset)
                        for subset, drawn in volumes.get(name, {}).items()
                    },
                    probability_largest=largest.get(name),
                    equal_budget=_equal_budget(draws, members, objectives, seed) if stated else (),
                    **_against_truth(found, draws, members, objectives),
                )
            )
        versus += [
            _volume_comparison(size, first, second, volumes[first][whole] - volumes[second][whole])
            for first, second in combinations(volumes, 2)
        ]
    adjusted = iter(holm([comparison.p for comparison in versus if comparison.p is not None]))
    return methods, [_decided(c, next(adjusted) if c.p is not None else None) for c in versus]


def _subsets(objectives) -> list[tuple[Objective, ...]]:
    """All frontier objectives together, then each user × designer pair."""
    pairs = [(x, y) for y in objectives if y.role == "user" for x in objectives if x.role == "designer"]
    return [tuple(objectives), *[pair for pair in pairs if len(objectives) > 2]]


def _volume(draws: Replicates, members, objectives) -> Drawn:
    part = draws.select(members, [objective.name for objective in objectives])
    return functional(part, lambda points: frontier.hypervolumes(points, objectives))


def _volume_estimate(drawn: Drawn, objectives) -> Estimate:
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
    if p is None or p >= ALPHA:
        return replace(comparison, p=p)
    return replace(comparison, p=p, verdict="better" if comparison.difference.value > 0 else "worse")


def _probability_largest(draws: dict[str, np.ndarray]) -> dict[str, float]:
    if len(draws) < 2:
        return {}
    table = np.stack(list(draws.values()))
    top = table == table.max(0)
    return dict(zip(draws, (top / top.sum(0)).mean(1).tolist(), strict=True))


def _equal_budget(draws: Replicates, members, objectives, seed) -> tuple[float, ...]:
    """Expected hypervolume of k of the method's configurations drawn at random, k = 1, 2, ..."""
    values = draws.select(members, [objective.name for objective in objectives]).estimate
    expected = []
    for k in range(1, min(len(members), 12) + 1):
        subsets = list(combinations(range(len(members)), k)) if len(members) <= 8 else _random_subsets(members, k, seed)
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
    each = {point.id: {run: gaps.get(cell) for run, cell in zip(point.seeds, point.cells, strict=True)} for point in points}
    by_seed = [[each[point.id].get(run) for point in points] for run in runs]
    complete = np.array([row for row in by_seed if None not in row], dtype=float)
    gap = smallest = None
    if len(complete):
        part = components(complete.mean(1), np.zeros((len(complete), 0)))
        # One figure per seed: the usual t interval over seeds, nothing to pool.
        own = Spread(float(np.sqrt(part.seeds)), part.n_seeds - 1) if part.seeds else None
        gap = estimate(part.value, own, n=len(complete), what=" over seeds")
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
    kl = measures[(measures.group == "exact") & (measures.name == "kl") & measures.cell.isin([c for p in points for c in p.cells])]
    return next((budget for budget in budgets if len(kl) and budget >= kl.value.max()), budgets[-1])


def true_points(records: Records, budget: float, objectives) -> np.ndarray:
    """The non-dominated true points at one KL budget, sorted along the first objective."""
    rows = records.truth[records.truth.budget == budget]
    table = rows.pivot(index="point", columns="objective", values="value")
    if any(objective.name not in table for objective in objectives):
        return np.zeros((0, len(objectives)))
    points = table[[objective.name for objective in objectives]].dropna().to_numpy(float)
    points = points[frontier.non_dominated(points, objectives)]
    return points[np.argsort(points[:, 0], kind="stable")]


def _panels(found: Study, points, draws, objectives) -> list[Panel]:
    panels = []
    for size in found.sizes:
        here = [point for point in points if point.size == size]
        for x, y in ((x, y) for y in objectives if y.role == "user" for x in objectives if x.role == "designer"):
            if not here:
                continue
            pair = (x, y)
            part = draws.select([point.id for point in here], [x.name, y.name])
            rows = {name: [i for i, point in enumerate(here) if point.method == name] for name in found.methods}
            rows = {name: members for name, members in rows.items() if members}
            thinned = part.best[:: max(1, len(part.best) // ATTAINMENT_DRAWS)]
            budgets = sorted(found.records.truth.budget.unique())
            truth = {budget: true_points(found.records, budget, pair) for budget in budgets}
            panels.append(
                Panel(
                    size=size,
                    x=x,
                    y=y,
                    frontier=frontier.staircase(part.estimate, pair),
                    steps={name: frontier.staircase(part.estimate[members], pair) for name, members in rows.items()},
                    attainment={
                        name: frontier.attainment(thinned[:, members], pair) for name, members in rows.items()
                    },
                    truth={budget: line for budget, line in truth.items() if len(line)},
                )
            )
    return panels


def representative(points: list[Point], grids: dict[str, Grid], objectives) -> Point:
    """The point of a method that stands for it: the largest hypervolume alone, else the middle of the sweep."""
    if all(objective.reference_point is not None for objective in objectives):
        rows = [[grids[o.name].mean[grids[o.name].rows(point.cells)].mean() for o in objectives] for point in points]
        return points[int(np.argmax([frontier.hypervolume([row], objectives) for row in rows]))]
    return points[len(points) // 2]


def _comparisons(found: Study, points, objectives, noise) -> list[Comparison]:
    """Each method's representative against each other's, on every objective, at each size."""
    if not objectives:
        return []
    compared = []
    for size in found.sizes:
        chosen = []
        for name in found.methods:
            mine = [point for point in points if point.size == size and point.method == name]
            if mine:
                chosen.append(representative(mine, found.grids, objectives))
        pairs = list(combinations(chosen, 2))
        for objective in objectives:
            grid = found.grids[objective.name]
            compared += [compare(first, second, grid, noise[size, objective.name]) for first, second in pairs]
    return decide(compared, {point.id: point for point in found.points}, found.grids)


def _raw(results: dict[str, PointResult]) -> dict[str, Estimate]:
    return {point: found for point, result in results.items() if (found := result.best(CONTROLLED))}


def _best(found: Study, noise) -> dict[tuple[str, str], frozenset[str]]:
    """Per size and objective, the point with the best mean and those not significantly worse than it."""
    best = {}
    for size in found.sizes:
        for name, grid in found.grids.items():
            points = [point for point in found.select(size) if grid.rows(point.cells)]
            if not points:
                continue
            sign = 1 if grid.objective.direction == "maximize" else -1
            top = max(points, key=lambda point: sign * grid.mean[grid.rows(point.cells)].mean())
            versus = [compare(top, point, grid, noise[size, name]) for point in points if point is not top]
            decided = decide(versus, {point.id: point for point in points}, found.grids)
            best[size, name] = frozenset([top.id, *[c.second for c in decided if c.verdict == "tied"]])
    return best


def _budgets(found: Study) -> list[Budget]:
    cells = found.records.cells
    budgets = []
    for name in found.methods:
        mine = cells[cells.method == name]
        budgets.append(
            Budget(
                method=name,
                label=_method_label(point for point in found.points if point.method == name),
                configurations=mine.point.nunique(),
                planned=len(mine),
                failed=int((mine.status != "ok").sum()),
                seconds=float(mine.train_seconds.sum()),
                tokens=int(mine.trained_tokens.sum()),
            )
        )
    return budgets


def _costs(found: Study) -> dict[str, dict[str, float]]:
    """Mean cost of a measured cell, by point."""
    cells = found.records.cells
    return cells[cells.status == "ok"].groupby("point")[list(COSTS)].mean().to_dict("index")


def _method_label(points) -> str:
    """What the labels of a method's points have in common, else its name."""
    labels = [point.label for point in points]
    words = [label.split() for label in labels]
    common = []
    for column in zip(*words, strict=False):
        if len(set(column)) > 1:
            break
        common.append(column[0])
    method_name = " ".join(common)
    return method_name if method_name and (len(labels) > 1 or "=" not in method_name) else labels[0].split(" ")[0]
